"""The commands by topic; `rtsep.control.table` lists them all."""
