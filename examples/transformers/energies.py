#!/usr/bin/env python3
"""The energies of a video's windows, computed with transformers: what `ensue replay --model DIR` computes.

    pip install torch torchvision transformers
    python energies.py video.mkv... --model DIR

A video is decoded by the ffmpeg command, sampled at --fps on ensue's grid, and prepared by transformers' VJEPA2VideoProcessor. Every window of
the video that has a whole context before it is predicted from that context alone. A line of JSON is printed for each: the video, when the
window starts, in seconds, and its energy. With --new a model with random weights is written to DIR first.
"""

import argparse
import json
import subprocess
from fractions import Fraction

import numpy as np
import torch
from transformers import VJEPA2Config, VJEPA2Model, VJEPA2VideoProcessor


def new_model(directory, seed=0):
    """Writes a small model with random weights: large enough to tell frames apart, for trying things out."""
    torch.manual_seed(seed)
    config = VJEPA2Config(
        crop_size=64, patch_size=16, tubelet_size=2, frames_per_clip=16, hidden_size=96, num_hidden_layers=3, num_attention_heads=4,
        mlp_ratio=4.0, pred_hidden_size=48, pred_num_hidden_layers=2, pred_num_attention_heads=2, pred_num_mask_tokens=2)
    model = VJEPA2Model(config).eval()
    with torch.no_grad():  # as they are initialised, weights are so small that a transformer does next to nothing
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "mask_tokens" not in name:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape) * 1.5 / fan_in**0.5)
            elif "mask_tokens" in name:
                parameter.copy_(torch.randn(parameter.shape))
    model.save_pretrained(directory)


def probe(path):
    """Width, height and frames per second of a video."""
    out = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height,avg_frame_rate", "-of", "json", path],
        check=True, capture_output=True).stdout
    stream = json.loads(out)["streams"][0]
    return stream["width"], stream["height"], Fraction(stream["avg_frame_rate"])


def sampled_frames(path, fps):
    """Every n-th frame, n so that the rate comes nearest to fps: uint8 [T, H, W, 3], and that rate."""
    width, height, rate = probe(path)
    every = max(1, round(rate / Fraction(fps)))
    # ffmpeg's fast conversion of YUV is off by one or two grey levels: ask for the right one. RGB video needs none.
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-vf", "scale=flags=bicubic+accurate_rnd+full_chroma_int", "-f", "rawvideo",
         "-pix_fmt", "rgb24", "-"], check=True, capture_output=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    return frames[::every].copy(), rate / every


@torch.inference_mode()
def energy(model, context, window):
    """The energy of the frames of a window after those of its context, both [T, C, H, W] and prepared.

    Only the context is encoded for the prediction; model(video, context_mask, target_mask) would show it the window.
    """
    both = torch.cat([context, window])[None]
    seen = model.encoder(pixel_values_videos=context[None]).last_hidden_state
    whole = model.encoder(pixel_values_videos=both).last_hidden_state
    first, last = seen.shape[1], whole.shape[1]
    expected = model.predictor(encoder_hidden_states=seen, context_mask=[torch.arange(first)[None]],
                               target_mask=[torch.arange(first, last)[None]]).last_hidden_state
    target = torch.nn.functional.layer_norm(whole[:, first:], (model.config.hidden_size,))
    return (expected - target).abs().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", nargs="*")
    parser.add_argument("--model", required=True, help="a directory of a VJEPA2Model")
    parser.add_argument("--fps", type=float, default=8, help="frames per second of video (ensue: decode.fps)")
    parser.add_argument("--context", type=float, default=2, help="seconds of context (ensue: predictor.context)")
    parser.add_argument("--window", type=float, default=1, help="seconds of a window (ensue: the first of predictor.horizons)")
    parser.add_argument("--new", action="store_true", help="write a model with random weights to DIR first")
    args = parser.parse_args()
    if args.new:
        new_model(args.model)
    model = VJEPA2Model.from_pretrained(args.model, dtype=torch.float32).eval()
    processor = VJEPA2VideoProcessor(crop_size=model.config.crop_size)
    for path in args.video:
        frames, rate = sampled_frames(path, args.fps)
        video = processor(frames, return_tensors="pt").pixel_values_videos[0]
        tubelet = model.config.tubelet_size
        context, window = (max(1, round(Fraction(s) * rate / tubelet)) * tubelet for s in (args.context, args.window))
        for start in range(context, len(video) - window + 1, window):
            value = energy(model, video[start - context:start], video[start:start + window])
            print(json.dumps({"video": path, "start": float(start / rate), "energy": value}))


if __name__ == "__main__":
    main()
