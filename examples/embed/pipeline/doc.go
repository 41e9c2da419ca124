// Command pipeline runs a pipeline in its own process and gets the results in a function.
package main
