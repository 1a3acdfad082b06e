//! Reruns, sweeps and pipelines by the program itself: real supervisors, real child processes, a real
//! store behind the port. The projects need Python and nothing else.

mod consent;
mod pipelines;
mod repeats;
mod sweeps;
mod world;
