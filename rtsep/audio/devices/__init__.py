"""Sound devices: finding them by name, the door to PortAudio, feedback."""
