"""The page in the browser and the remote control: a server that shows one player's state and passes commands on."""
