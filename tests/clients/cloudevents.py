"""The SDK of CloudEvents for Node, which sends events in the three forms. What it does is in cloudevents.cjs."""
from node import node_with, told_by


def sdk_sends(server, room, tools):
    return told_by(node_with(tools, "cloudevents"), tools, "cloudevents.cjs", server.address, home=room)


def checks(server, room, tools):
    return [("cloudevents: the SDK's three forms", lambda: sdk_sends(server, room, tools))]
