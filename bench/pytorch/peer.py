"""The other side of `go run ./bench/pytorch`: PyTorch, transformers and ONNX Runtime on the processor.

Usage: peer.py THREADS CACHE

Reads one JSON object a line from stdin and answers each with one JSON object a line:

  {"do": "open", "id": ID, "kind": "forward", "model": DIR, "input": FILE, "dtype": "f32" | "bf16", "mode": MODE}
  {"do": "open", "id": ID, "kind": "train", "model": DIR, "input": FILE, "target": FILE, "mode": MODE}
  {"do": "open", "id": ID, "kind": "recurrent", "model": DIR, "input": FILE, "target": FILE, "batch": B, "mode": MODE}   a step of it
  {"do": "run", "id": ID, "seconds": S}      calls for at least S seconds, at least once: seconds a call; "own": of processor time
  {"do": "step", "id": ID}                   one training step: its loss
  {"do": "output", "id": ID, "file": FILE}   the result, raw float32
  {"do": "close", "id": ID}

MODE is eager (attention by scaled_dot_product_attention), compile (torch.compile of the whole encoder) or onnxruntime. Inputs are raw
float32 in transformers' layout. Nothing is computed between two requests.
"""

import gc
import json
import os
import sys
import time
import warnings
from pathlib import Path

THREADS, CACHE = int(sys.argv[1]), Path(sys.argv[2])
os.environ["OMP_NUM_THREADS"] = str(THREADS)
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(CACHE / "inductor"))
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import VJEPA2Config, VJEPA2Model  # noqa: E402

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def encoder(directory):
    """transformers' encoder with the weights of a model directory."""
    config = VJEPA2Config.from_pretrained(directory, attn_implementation="sdpa")
    # Only the encoder is used: the smallest predictor that can be built.
    config.pred_hidden_size, config.pred_num_attention_heads, config.pred_num_hidden_layers = 24, 2, 1
    model = VJEPA2Model(config).encoder
    weights = load_file(Path(directory) / "model.safetensors")
    model.load_state_dict({name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")})
    return model, config


def raw(path, *shape):
    return torch.from_numpy(np.fromfile(path, dtype=np.float32).reshape(shape))


def clip(path, config, frames):
    return raw(path, -1, frames, 3, config.crop_size, config.crop_size)


class Forward:
    """The encoder, without gradients."""

    def __init__(self, request):
        self.model, config = encoder(request["model"])
        self.model = self.model.eval().to(DTYPES[request["dtype"]])
        self.input = clip(request["input"], config, request["frames"]).to(DTYPES[request["dtype"]])
        self.run = torch.compile(self.model) if request["mode"] == "compile" else self.model

    @torch.inference_mode()
    def __call__(self):
        self.result = self.run(self.input).last_hidden_state

    def output(self):
        return self.result.float().numpy()


class Exported(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixels).last_hidden_state


class OnnxForward:
    """The same encoder exported to ONNX, run by ONNX Runtime."""

    def __init__(self, request):
        model, config = encoder(request["model"])
        self.input = clip(request["input"], config, request["frames"])
        file = CACHE / f"{request['id'].replace('/', '-')}.onnx"
        with torch.no_grad():
            torch.onnx.export(Exported(model.eval()), (self.input,), str(file), dynamo=False, opset_version=17,
                              input_names=["pixels"], output_names=["tokens"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        # Threads that spin after their work would take the processor from whoever is measured next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        file.unlink()

    def __call__(self):
        self.result = self.session.run(None, {"pixels": self.input.numpy()})[0]

    def output(self):
        return self.result


class Step:
    """One training step: forward, smooth L1 to a target, backward, AdamW. Subclasses set model, input and target."""

    def prepare(self, mode):
        self.run = torch.compile(self.model) if mode == "compile" else self.model
        groups = [
            {"params": [p for p in self.model.parameters() if p.ndim > 1], "weight_decay": 0.05},
            {"params": [p for p in self.model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, fused=True)

    def forward(self):
        return self.run(self.input)

    def __call__(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.smooth_l1_loss(self.forward(), self.target)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class Train(Step):
    """A step of the encoder."""

    def __init__(self, request):
        self.model, config = encoder(request["model"])
        self.model.train()
        self.input = clip(request["input"], config, request["frames"])
        self.target = raw(request["target"], self.input.shape[0], -1, config.hidden_size)
        self.prepare(request["mode"])

    def forward(self):
        return super().forward().last_hidden_state


class RecurrentModel(torch.nn.Module):
    """ensue's recurrent family (encoder/conv.go, predictor/recurrent_net.go): frames [T*B, 3, S, S], time first, to what the heads say of
    each, [T*B, K*D, H', W']."""

    def __init__(self, directory, batch):
        super().__init__()
        self.sizes = json.loads((Path(directory) / "config.json").read_text())["ensue"]["recurrent"]
        self.batch, self.weights = batch, load_file(Path(directory) / "model.safetensors")
        self.conv1 = self.conv("encoder.conv1", 4, stride=2, padding=1)
        self.conv2 = self.conv("encoder.conv2", 3, stride=2, padding=1)
        self.conv3 = self.conv("encoder.conv3", 3, stride=2, padding=1)
        self.residual = self.conv("encoder.residual", 3, padding=1)
        self.project = self.conv("encoder.project", 1)
        for name in ("input", "gates", "candidate", "trunk", "glance"):
            setattr(self, name, self.conv("predictor." + name, 3, padding=1))
        for name in ("change", "keep"):
            setattr(self, name, self.conv("predictor." + name, 1))
        del self.weights

    def conv(self, name, kernel, **how):
        """Weights are [out, kernel*kernel*in] in the file, channels last."""
        weight, bias = self.weights[name + ".weight"], self.weights.get(name + ".bias")
        weight = weight.reshape(weight.shape[0], kernel, kernel, -1).permute(0, 3, 1, 2)
        layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], kernel, bias=bias is not None, **how)
        layer.weight.data.copy_(weight)
        if bias is not None:
            layer.bias.data.copy_(bias)
        return layer

    def tokens(self, x):
        gelu = torch.nn.functional.gelu
        x = gelu(self.conv3(gelu(self.conv2(gelu(self.conv1(x))))))
        x = self.project(x + gelu(self.residual(x))).permute(0, 2, 3, 1)
        return torch.nn.functional.layer_norm(x, x.shape[-1:]).permute(0, 3, 1, 2)

    def remember(self, tokens):
        hidden = self.sizes["hidden"]
        states, h = [], torch.zeros(self.batch, hidden, *tokens.shape[2:]).to(memory_format=torch.channels_last)
        for says in self.input(tokens).split(self.batch):
            r, u = torch.sigmoid(says[:, : 2 * hidden] + self.gates(h)).split(hidden, 1)
            n = torch.tanh(says[:, 2 * hidden :] + self.candidate(r * h))
            h = u * h + (1 - u) * n
            states.append(h)
        return torch.cat(states)

    def forward(self, x):
        tokens = self.tokens(x)
        z = torch.nn.functional.gelu(self.trunk(self.remember(tokens)) + self.glance(tokens))
        change = self.change(z).unflatten(1, (len(self.sizes["ahead"]), -1))
        return (torch.sigmoid(self.keep(z)).unsqueeze(2) * tokens.unsqueeze(1) + change).flatten(1, 2)


class RecurrentTrain(Step):
    """A step of the recurrent family; channels last, which is PyTorch's faster layout here."""

    def __init__(self, request):
        self.model = RecurrentModel(request["model"], request["batch"]).to(memory_format=torch.channels_last)
        side, sizes = self.model.sizes["size"], self.model.sizes
        self.input = raw(request["input"], -1, 3, side, side).to(memory_format=torch.channels_last)
        grid = side // 8
        self.target = raw(request["target"], -1, grid, grid, len(sizes["ahead"]) * sizes["dim"]).permute(0, 3, 1, 2)
        self.prepare(request["mode"])


def make(request):
    if request["kind"] == "recurrent":
        return RecurrentTrain(request)
    if request["kind"] == "train":
        return Train(request)
    return OnnxForward(request) if request["mode"] == "onnxruntime" else Forward(request)


def measure(call, seconds, own):
    clock = time.process_time if own else time.perf_counter
    calls, start = 0, clock()
    while calls == 0 or clock() - start < seconds:
        call()
        calls += 1
    return {"seconds": (clock() - start) / calls, "calls": calls}


def answer(request, opened):
    what, name = request["do"], request["id"]
    if what == "open":
        opened[name] = make(request)
    elif what == "run":
        return measure(opened[name], request.get("seconds", 0), request.get("own", False))
    elif what == "step":
        return {"loss": opened[name]()}
    elif what == "output":
        opened[name].output().astype(np.float32).tofile(request["file"])
    elif what == "close":
        opened.pop(name, None)
        if not opened:  # else what is compiled and still open would be compiled again, in the middle of a measurement
            torch._dynamo.reset()
        gc.collect()
    else:
        raise ValueError(f"unknown request {what!r}")
    return {}


def main():
    torch.set_num_threads(THREADS)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes to stderr
    opened = {}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "onnxruntime": onnxruntime.__version__}
    print(json.dumps(versions), file=replies, flush=True)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), opened)
        except Exception as error:  # the other side decides
            reply = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
