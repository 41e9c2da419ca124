// Package topicread reads what a topic holds now, from its oldest record to the end it had when the reading began, and stops there.
//
// What it promises: records of a partition come in their order; what a transaction wrote comes only once it is committed, and a
// transaction that is not decided yet is waited for; a topic that holds nothing is no error. It joins no group and commits nothing.
package topicread
