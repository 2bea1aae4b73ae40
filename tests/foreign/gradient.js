// A client in another language: sends a saved graph as it is, prints the gradient it gets.
//   node gradient.js ADDRESS PROTOS GRAPH < feeds.json
// feeds.json: {"args/0": {"dims": [3], "base64": "..."}} with little-endian float64 elements.
// Prints {"value": base64, "grad": base64, "code": 0} or {"code": n, "message": "..."}.
"use strict";
const fs = require("fs");
const path = require("path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");

const [address, protos, graphFile] = process.argv.slice(2);
const file = "chainrule/proto/v1/gradient.proto";
const options = { keepCase: true, includeDirs: [protos], longs: String, enums: String };

const root = new protobuf.Root();
root.resolvePath = (_, target) => path.join(protos, target);
root.loadSync(file, { keepCase: true });
// A plain object: a message of protobufjs reads as if every alternative of a oneof were set.
const Graph = root.lookupType("chainrule.v1.Graph");
const graph = Graph.toObject(Graph.decode(fs.readFileSync(graphFile)), { enums: String });

const feeds = Object.entries(JSON.parse(fs.readFileSync(0, "utf8"))).map(([name, feed]) => ({
  name,
  tensor: { dtype: "D_TYPE_FLOAT64", dims: feed.dims, raw: Buffer.from(feed.base64, "base64") },
}));
const request = {
  graph,
  feeds,
  wishes: [
    { computation: "COMPUTATION_VALUE" },
    { computation: "COMPUTATION_GRAD", wrt: ["args/0"], outs: ["out"] },
  ],
};

const service = grpc.loadPackageDefinition(loader.loadSync(file, options)).chainrule.v1;
const client = new service.GradientService(address, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
if (process.env.CHAINRULE_TOKEN) {
  metadata.set("authorization", `Bearer ${process.env.CHAINRULE_TOKEN}`);
}
const deadline = Date.now() + 30000;
client.Compute(request, metadata, { deadline }, (error, reply) => {
  if (error) {
    console.log(JSON.stringify({ code: error.code, message: error.details }));
  } else {
    const [value, grad] = reply.results.map((r) => r.tensors[0].tensor.raw.toString("base64"));
    console.log(JSON.stringify({ code: 0, value, grad }));
  }
  client.close();
});
