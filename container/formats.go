package container

import (
	"slices"
	"strings"
)

// format is one FFmpeg demuxer that may open what comes from outside.
type format struct {
	// names are FFmpeg's, comma separated as it spells them.
	names string
	// analysed: the header does not say enough, so the first packets are looked at by parsers.
	analysed bool
	// untimed: packets carry no presentation time that can be relied on; frames get theirs in the order they come out.
	untimed bool
	// guessed: durations of packets are FFmpeg's guesses, and with no decoder open they are wrong for H.264 (twice as long).
	guessed bool
	// raw: there are no timestamps at all, so there is nothing to cut by, and only the video itself tells its rate.
	raw bool
}

// formats is everything that is opened. What can refer to other files (hls, dash, concat, imf, sdp, rtsp, image2, tee,
// webm_dash_manifest …), still images, text and devices are not here and must never be.
var formats = []format{
	{names: "mov,mp4,m4a,3gp,3g2,mj2"},
	{names: "matroska,webm"},
	{names: "mpegts", analysed: true, guessed: true},
	{names: "mpeg", analysed: true, guessed: true},
	{names: "avi", untimed: true},
	{names: "flv", analysed: true, guessed: true},
	{names: "ogg", analysed: true},
	{names: "asf", analysed: true, guessed: true},
	{names: "mxf", analysed: true, guessed: true},
	{names: "gif"},
	{names: "ivf"},
	{names: "yuv4mpegpipe"},
	{names: "h264", analysed: true, guessed: true, untimed: true, raw: true},
	{names: "hevc", analysed: true, guessed: true, untimed: true, raw: true},
	{names: "av1", analysed: true, guessed: true, untimed: true, raw: true},
	{names: "obu", analysed: true, guessed: true, untimed: true, raw: true},
	{names: "m4v", analysed: true, guessed: true, untimed: true, raw: true},
	{names: "mpegvideo", analysed: true, guessed: true, untimed: true, raw: true},
	{names: "mjpeg", guessed: true, untimed: true, raw: true},
}

// Formats lists the container formats that are opened, by FFmpeg's names.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, strings.Split(f.names, ",")...)
	}
	return names
}

func findFormat(names string) (format, bool) {
	for _, f := range formats {
		if f.names == names {
			return f, true
		}
	}
	return format{}, false
}

// codecs is every video codec that is decoded, by FFmpeg's names. A decoder that nobody's camera needs is only a way in.
var codecs = []string{
	"h264", "hevc", "av1", "vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "rawvideo",
	"h261", "h263", "h263i", "h263p", "flv1", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "wmv3", "vc1",
	"vp6", "vp6a", "vp6f", "theora", "gif", "dvvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo", "prores", "dnxhd",
	"jpeg2000", "png", "qtrle", "svq1", "svq3", "cinepak",
}

// Codecs lists the video codecs that are decoded, by FFmpeg's names.
func Codecs() []string { return slices.Clone(codecs) }

// intra are the codecs whose frames depend on no other frame.
var intra = []string{
	"mjpeg", "rawvideo", "dvvideo", "huffyuv", "ffvhuff", "utvideo", "prores", "dnxhd", "jpeg2000", "png",
}

// passable are the codecs whose decoder leaves out frames that no other frame is made from without changing any other frame.
// Of HEVC and VP9 FFmpeg cannot tell or does not leave them out, AV1's decoder is not FFmpeg's.
var passable = []string{"h264", "mpeg1video", "mpeg2video", "mpeg4", "h263", "h263p", "vp8"}

// home is the format each codec is put into when a recording is cut; codecs that are not here go into Matroska.
var home = map[string]string{
	"h264": "mp4", "hevc": "mp4", "av1": "mp4", "vp9": "mp4", "mpeg4": "mp4", "mpeg2video": "mp4", "mpeg1video": "mp4",
	"mjpeg": "mp4", "h263": "mov", "prores": "mov", "dnxhd": "mov", "qtrle": "mov", "svq1": "mov", "svq3": "mov", "dvvideo": "mov",
	"png": "mov", "jpeg2000": "mov", "cinepak": "mov",
}

// contentTypes are what a piece of each output format is called.
var contentTypes = map[string]string{
	"mp4": "video/mp4", "mov": "video/quicktime", "matroska": "video/x-matroska", "avi": "video/x-msvideo",
}

// wholeTypes are what a file that is passed on whole is called, by input format; others are application/octet-stream.
var wholeTypes = map[string]string{
	"mov,mp4,m4a,3gp,3g2,mj2": "video/mp4", "matroska,webm": "video/x-matroska", "mpegts": "video/mp2t", "mpeg": "video/mpeg",
	"avi": "video/x-msvideo", "flv": "video/x-flv", "ogg": "video/ogg", "gif": "image/gif", "h264": "video/h264", "hevc": "video/h265",
	"mxf": "application/mxf", "asf": "video/x-ms-asf", "mjpeg": "video/x-motion-jpeg",
}
