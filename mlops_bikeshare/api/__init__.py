"""The operations API: the flows over HTTP, with a queue of jobs that outlives the process."""
