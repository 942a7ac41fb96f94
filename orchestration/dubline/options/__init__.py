"""What all commands share: the options of a render, sentences for refused values, and how a command ends.

An option's name, bounds, default and description are declared once.

Imports the standard library only, so that the service, the client, the networks and the training code can share it.
"""
