"""PortAudio streams driven by the compiled callbacks."""
