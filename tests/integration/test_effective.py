"""Kinds Mesh and Namespace: a service's document over its namespace's over the mesh's, in force in running processes, and shown with where each value came from."""

import json
import os

import peers
from load import Gateway
from support import MeshTest, wait_until

CONFIGURATION = 5


def document(kind, name, **fields):
    return "".join(f"{k}: {json.dumps(v)}\n" for k, v in {"apiVersion": "mesh/v1", "kind": kind, "name": name, **fields}.items())


class EffectiveTest(MeshTest):
    def apply(self, *documents, check=True):
        return self.mesh.ctl("apply", "-f", "-", stdin="---\n".join(documents), check=check)

    def effective(self, name):
        """The document, and of each path of it (and of what is built in) where it came from."""
        answer = self.mesh.ctl_json("get", "--effective", "service", name)
        return answer["document"], {o["path"]: (o["from"], o.get("generation")) for o in answer["fields"]}


class Effective(EffectiveTest):
    def test_the_nearest_document_that_says_something_holds_field_by_field(self):
        self.apply(document("Mesh", "mesh", timeout="9s", connectTimeout="2s", circuitBreaker={"maxRequests": 10, "maxPending": 5}))
        self.apply(document("Namespace", "shop", timeout="8s", circuitBreaker={"maxRequests": 20}))
        self.apply(document("Service", "payments", namespace="shop", loadBalancer={"policy": "roundRobin"}))
        found, origins = self.effective("payments.shop")
        self.assertEqual(found, {"apiVersion": "mesh/v1", "kind": "Service", "name": "payments", "namespace": "shop", "timeout": "8s", "connectTimeout": "2s",
                                 "loadBalancer": {"policy": "roundRobin"}, "circuitBreaker": {"maxRequests": 20, "maxPending": 5}})
        self.assertEqual({path: origins[path] for path in ("timeout", "connectTimeout", "loadBalancer.policy", "circuitBreaker.maxRequests", "circuitBreaker.maxPending")},
                         {"timeout": ("Namespace shop", "2"), "connectTimeout": ("Mesh mesh", "1"), "loadBalancer.policy": ("Service payments.shop", "3"),
                          "circuitBreaker.maxRequests": ("Namespace shop", "2"), "circuitBreaker.maxPending": ("Mesh mesh", "1")})
        self.assertEqual(origins["protocol"], ("built in", None))
        self.assertEqual(self.effective("orders")[0]["timeout"], "9s")  # without a document of its own, never heard of
        self.mesh.ctl("delete", "namespace", "shop")
        self.mesh.meshd.kill()
        self.mesh.start()
        self.assertEqual(self.effective("payments.shop")[0]["timeout"], "9s")
        self.mesh.ctl("rollback", "--to", "2")
        self.assertEqual(self.effective("payments.shop")[0]["timeout"], "8s")
        self.assertEqual(self.mesh.ctl("get", "meshes").stdout.split()[5:8], ["Mesh", "mesh-system", "mesh"])

    def test_it_is_in_force_in_running_processes_that_call_a_service_without_a_document(self):
        self.mesh.serve("slow", "--delay", "700ms")
        gateway = Gateway(self.mesh, "slow")
        gateway.ask()
        for documents, status in (((document("Mesh", "mesh", timeout="50ms"),), 504), ((document("Namespace", "default", timeout="60s"),), 200), ((document("Service", "slow", timeout="60ms"),), 504)):
            self.apply(*documents)
            generation = self.mesh.ctl_json("history")[0]["generation"]
            wait_until(lambda: all(c["state"] == "current" for c in self.mesh.ctl_json("sync-status", "--generation", generation)["clients"]), "the processes to take it")
            self.assertEqual(self.status(gateway), status, documents)

    def status(self, gateway):
        try:
            with gateway.opener.open(gateway.url + "/", timeout=60) as answer:
                return answer.status
        except OSError as e:
            return e.code

    def test_what_is_a_services_alone_is_refused_elsewhere(self):
        done = self.apply(document("Mesh", "mash", timeout="1s"), document("Namespace", "shop", protocol="grpc", namespace="shop"), check=False)
        self.assertEqual(done.returncode, CONFIGURATION)
        for place in ("stdin:3:7: name:", "stdin:9:1: protocol:", "stdin:10:1: namespace:"):
            self.assertIn(place, done.stderr)


class Static(EffectiveTest):
    def test_a_file_of_documents_is_merged_by_the_same_rule_without_a_meshd(self):
        server = self.mesh.serve("payments", "--delay", "700ms")
        path = os.path.join(self.mesh.dir, "documents.yaml")
        endpoints = document("Endpoints", "payments", endpoints=[{"address": server.info["address"]}])
        identity = peers.issued(self.mesh, "cart")
        for more, ok in (((), 1), ((document("Mesh", "mesh", timeout="50ms"),), 0), ((document("Mesh", "mesh", timeout="50ms"), document("Namespace", "default", timeout="60s")), 1)):
            with open(path, "w") as f:
                f.write("---\n".join((endpoints, *more)))
            done = self.mesh.ctl("call", "payments", "/", "--as", "cart", "-o", "json", env=peers.static_env(identity, path), check=False)
            self.assertEqual(json.loads(done.stdout)["ok"], ok, more)


if __name__ == "__main__":
    import unittest
    unittest.main()
