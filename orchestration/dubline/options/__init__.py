"""The options of a render: names, bounds, defaults and descriptions, each declared once; sentences for refused values.

Imports the standard library only, so that the service, the client, the networks and the training code can share it.
"""
