// Trains the example network from Node: plain gradient descent, the gradients come from the service.
//
//   chainrule serve --insecure &
//   cd examples/node && npm install && node descend.js localhost:50051
//
// network.pb is the loss as a graph (make_graph.py wrote it). It is registered once and named by its
// digest from then on; what goes over the wire at each step is arrays.
"use strict";
const fs = require("fs");
const path = require("path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");

const address = process.argv[2] || "localhost:50051";
const steps = Number(process.argv[3] || 200);
const rate = 0.5;
const protos = path.join(__dirname, "..", "..", "protos");
const file = "chainrule/proto/v1/gradient.proto";

// The service, from its .proto files.
const options = { keepCase: true, includeDirs: [protos], longs: Number, enums: String };
const service = grpc.loadPackageDefinition(loader.loadSync(file, options)).chainrule.v1;
const client = new service.GradientService(address, grpc.credentials.createInsecure());

function call(method, request) {
  const deadline = Date.now() + 30000;
  return new Promise((resolve, reject) =>
    client[method](request, new grpc.Metadata(), { deadline }, (error, reply) =>
      error ? reject(error) : resolve(reply)
    )
  );
}

// The saved graph as a plain object.
const root = new protobuf.Root();
root.resolvePath = (_, target) => path.join(protos, target);
root.loadSync(file, { keepCase: true });
const Graph = root.lookupType("chainrule.v1.Graph");
const saved = Graph.decode(fs.readFileSync(path.join(__dirname, "network.pb")));
const graph = Graph.toObject(saved, { enums: String });

// An array is a Float64Array with its dims; on the wire it is little-endian bytes.
const array = (dims, f) => {
  const size = dims.reduce((a, b) => a * b, 1);
  return { dims, data: Float64Array.from({ length: size }, (_, i) => f(i)) };
};
const named = (name, { dims, data }) => ({
  name,
  tensor: { dtype: "D_TYPE_FLOAT64", dims, raw: Buffer.from(data.buffer) },
});
const numbers = ({ raw }) => {
  const bytes = Uint8Array.from(raw); // a copy, because a Float64Array wants its bytes aligned
  return new Float64Array(bytes.buffer);
};

async function main() {
  // One period of a sine, and weights that are the same at every run.
  const n = 64;
  const x = array([n, 1], (i) => (2 * i) / (n - 1) - 1);
  const y = array([n, 1], (i) => Math.sin(Math.PI * x.data[i]));
  const params = {
    W1: array([1, 8], (i) => 3 * Math.cos(i + 1)),
    b1: array([8], (i) => Math.sin(3 * i)),
    W2: array([8, 1], (i) => 0.3 * Math.cos(2 * i)),
    b2: array([1], () => 0),
  };
  const names = Object.keys(params);
  const wrt = names.map((name) => `args/0/${name}`);
  const wishes = [
    { computation: "COMPUTATION_VALUE" },
    { computation: "COMPUTATION_GRAD", wrt, outs: ["out"] },
  ];

  const { digest } = await call("Register", { graph });
  console.log(`graph ${Buffer.from(digest).toString("hex").slice(0, 16)} is registered`);
  for (let step = 0; step <= steps; step++) {
    const feeds = [
      ...names.map((name) => named(`args/0/${name}`, params[name])),
      named("args/1", x),
      named("args/2", y),
    ];
    const reply = await call("Compute", { graph_digest: digest, feeds, wishes, examples: n });
    const [value, gradient] = reply.results;
    const loss = numbers(value.tensors[0].tensor)[0];
    for (const { name, tensor } of gradient.tensors) {
      const p = params[name.split("/")[2]].data;
      numbers(tensor).forEach((g, i) => (p[i] -= rate * g));
    }
    if (step % 50 === 0) console.log(`step ${String(step).padStart(4)}   loss ${loss.toFixed(9)}`);
  }
}

main()
  .catch((error) => {
    console.error(`descend: ${error.details || error.message}`);
    process.exitCode = 1;
  })
  .finally(() => client.close());
