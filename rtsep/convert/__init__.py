"""Conversion of other people's weights to bundles. No code from their files is executed."""
