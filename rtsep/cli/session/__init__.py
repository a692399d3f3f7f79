"""A run of `rtsep play` or `rtsep live`, from its start to its report."""
