package pipelines

import "github.com/ensue-video/ensue/connect"

// Place is a topic of a definition, and how to get to it.
type Place struct {
	// Key is where the definition has it: "ingest.kafka"; empty: no definition has it so.
	Key      string
	Brokers  []string
	Security *connect.Security
	Topic    string
}

// Naming names the keys of the place's security in messages, as flags where it is of no definition.
func (p Place) Naming() connect.Naming {
	if p.Key == "" {
		return connect.Flag
	}
	return connect.Below(p.Key + ".security")
}

// SegmentsPlace is where segments come from; false where they do not come from Kafka.
func (d *Definition) SegmentsPlace() (Place, bool) {
	in := d.Ingest.Kafka
	if in == nil {
		return Place{}, false
	}
	return Place{"ingest.kafka", in.Brokers, in.Security, in.Topic}, true
}

// ResultsPlace is where results go; false where they do not go to Kafka.
func (d *Definition) ResultsPlace() (Place, bool) {
	out := d.sinks().Kafka
	if out == nil {
		return Place{}, false
	}
	return d.sinkPlace(Place{"sink.kafka", out.Brokers, out.Security, out.Topic}), true
}

// DeadLettersPlace is where dead letters go; false where they do not go to Kafka.
func (d *Definition) DeadLettersPlace() (Place, bool) {
	dead := d.sinks().DeadLetter.Kafka
	if dead == nil {
		return Place{}, false
	}
	return d.sinkPlace(Place{"sink.dead_letter.kafka", dead.Brokers, dead.Security, dead.Topic}), true
}

// sinkPlace fills in the brokers of the source, whose security then holds as well.
func (d *Definition) sinkPlace(place Place) Place {
	if len(place.Brokers) > 0 {
		return place
	}
	place.Brokers = d.Brokers()
	if d.Ingest.Kafka != nil && place.Security == d.Ingest.Kafka.Security {
		place.Key = "ingest.kafka"
	}
	return place
}
