package train

import "errors"

// What a training that does not come to its end can be told by. Errors wrap one of them, or are a *Collapse, or a context's error.
var (
	// ErrConfig: settings that cannot work; the message names each by its key.
	ErrConfig = errors.New("the definition cannot work")
	// ErrFootage: there is nothing to learn from.
	ErrFootage = errors.New("there is no footage to use")
	// ErrExists: the output holds a training that would be written over.
	ErrExists = errors.New("the output holds a training already")
	// ErrNoCheckpoint: there is no training to go on with.
	ErrNoCheckpoint = errors.New("there is no checkpoint to go on from")
	// ErrOther: the checkpoint is of another model, other data or another objective.
	ErrOther = errors.New("the checkpoint was made with another model, other data or another objective")
	// ErrDiverged: the numbers are no numbers any more.
	ErrDiverged = errors.New("the loss is not a number any more")
)
