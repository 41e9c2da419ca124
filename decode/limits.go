package decode

import "fmt"

// SetLimits changes what the decoder refuses, from the next segment on. The error tells every limit that cannot work; then the old ones
// stay.
func (d *Decoder) SetLimits(limits Limits) error {
	config := d.config
	config.Limits = limits
	if err := config.Validate(); err != nil {
		return fmt.Errorf("changing the limits of a decoder: %w", err)
	}
	d.config = config
	return nil
}
