package train

import "github.com/ensue-video/ensue/nn"

// pixelEps keeps patches without any structure from being divided by 0.
const pixelEps = 1e-6

// Pixels is the objective of a generative predictor, the one joint embedding moved away from: the pixels of the patches that were to be
// predicted, each normalised by its own mean and deviation, against what a linear map made of the predicted tokens (He et al. 2021, "Masked
// autoencoders", arXiv:2111.06377, §3, "reconstruction target"; for video Tong et al. 2022, "VideoMAE", arXiv:2203.12602, eq. 2):
//
//	mean (decoded - (patch - mean) / sqrt(var + 1e-6))²
//
// decoded and patches are [N, P]: a row a patch, P its pixels times channels. Every detail of the future counts the same, whether it can be
// known or not. No gradient flows into the patches.
func Pixels(t *nn.Tape, decoded, patches *nn.Value) *nn.Value {
	return t.MSE(decoded, t.LayerNorm(t.Detach(patches), nil, nil, pixelEps))
}
