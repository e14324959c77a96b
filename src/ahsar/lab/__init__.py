"""The experiment suite: workloads, trials, statistics and reports. The core never imports it."""
