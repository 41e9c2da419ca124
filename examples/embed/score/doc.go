// Command score says how badly one video continues another.
package main
