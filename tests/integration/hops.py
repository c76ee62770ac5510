"""Chains of services, each hop a process that calls the next for what it is asked, and tells what reached its handler (hop.c)."""

import collections
import json
import os

import support

Entry = collections.namedtuple("Entry", "us tried remaining path")


class Hop:
    """One of them; `next_one` None: the last."""

    def __init__(self, mesh, service, next_one=None, **env):
        self.mesh, self.service = mesh, service
        env = {"MESH_CONTROL": mesh.info["control"], "MESH_TOKEN": mesh.token(service), "MESH_SERVICE": service, "MESH_LISTEN": "127.0.0.1:0", **env}
        self.child = mesh.spawn([support.helper("hop"), mesh.dir, *([next_one] if next_one else [])], "hop-" + service, env=env)
        self.address = self.child.wait_for_output(r"^serving (\S+)$", 30).group(1)

    def entered(self):
        """What its handler was given so far, in order."""
        return [Entry(int(us), int(tried), int(left), path) for word, us, tried, left, path in (line.split(" ", 4) for line in self.child.out().splitlines() if line.startswith("entered "))]

    def failed(self):
        """What its calls of the next said when they got no answer."""
        return [line for line in self.child.out().splitlines() if line.startswith("failed ")]

    def let_go(self):
        """One request of /hold/NAME goes on."""
        with open(os.path.join(self.mesh.dir, self.service), "w", encoding="ascii") as pipe:
            pipe.write("\n")


def chain(mesh, *services, **env):
    """The last one first, so that each finds the next."""
    made = []
    for service, next_one in reversed(list(zip(services, services[1:] + (None,)))):
        made.append(Hop(mesh, service, next_one, **env.get(service, {})))
    return list(reversed(made))


def apply(mesh, service, **fields):
    """A Service document, patient where the programs are slow."""
    path = os.path.join(mesh.dir, f"service-{service}.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": service, **support.PATIENCE, **fields}, f)
    mesh.ctl("apply", "-f", path)
