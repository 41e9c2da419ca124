// Command pytorch measures package nn against PyTorch and ONNX Runtime on the processor: the encoder forward in float32 and bfloat16, a
// training step, and matrix products against oneDNN's own. All sides compute the same model (transformers' VJEPA2 encoder, weights from
// one safetensors file) on the same input; their results are compared before anything is timed. They take turns, one computing at a time.
//
//	pip install -r bench/pytorch/requirements.txt
//	go run ./bench/pytorch --python .venv/bin/python --cases 'vit-b|d384' --threads 1,2 --rounds 5
//
// A line a case: milliseconds of both (median of the rounds), the ratio theirs/ours of each round (its median, lowest and highest), the
// goal, and what share of the processor's peak each reaches. PyTorch runs in the better of two modes, eager with fused attention and
// torch.compile, chosen by a trial. The exit code is 1 where a goal is missed and 3 where the Python modules are not there.
package main
