"""Many songs to files: what each becomes and where, in several processes, resumable. `rtsep.separate_files`."""
