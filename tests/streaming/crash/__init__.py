"""Deaths of the real process: what `sluice` starts is killed with SIGKILL at a moment told by the lake's files."""
