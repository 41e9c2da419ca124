package report

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// svg is a canvas that becomes an SVG file.
type svg struct{ body strings.Builder }

func newSVG(width, height int) *svg {
	s := &svg{}
	fmt.Fprintf(&s.body, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" `+
		`font-family="system-ui, sans-serif">`+"\n"+`<rect width="100%%" height="100%%" fill="white"/>`+"\n", width, height)
	return s
}

func points(through []spot) string {
	all := make([]string, len(through))
	for i, p := range through {
		all[i] = fmt.Sprintf("%.1f,%.1f", p.x, p.y)
	}
	return strings.Join(all, " ")
}

func (s *svg) area(corners []spot, colour int, opacity float64) {
	fmt.Fprintf(&s.body, `<polygon points="%s" fill="#%06x" fill-opacity="%.2f"/>`+"\n", points(corners), colour, opacity)
}

func (s *svg) line(through []spot, colour int, width float64) {
	fmt.Fprintf(&s.body, `<polyline points="%s" fill="none" stroke="#%06x" stroke-width="%.1f" stroke-linejoin="round"/>`+"\n",
		points(through), colour, width)
}

func (s *svg) text(at spot, from anchor, size float64, colour int, text string) {
	fmt.Fprintf(&s.body, `<text x="%.1f" y="%.1f" font-size="%.1f" fill="#%06x" text-anchor="%s">%s</text>`+"\n",
		at.x, at.y, size, colour, [...]string{"start", "middle", "end"}[from], html.EscapeString(text))
}

func (s *svg) write(w io.Writer) error {
	_, err := io.WriteString(w, s.body.String()+"</svg>\n")
	return err
}
