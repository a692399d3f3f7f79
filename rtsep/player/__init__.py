"""Players of files and of live sound: transport, mixer, queue, devices, recording. Never imports torch."""
