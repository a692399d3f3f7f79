"""Audio files: decoding to stereo blocks, resampling, writing WAV."""
