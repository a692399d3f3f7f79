"""The player as an application in the terminal, by textual, in a process of its own.

The process that plays starts it and answers it (`attendant`); `protocol` is all that the two exchange. So nothing that
happens here, and not its interpreter lock either, disturbs the sound.
"""
