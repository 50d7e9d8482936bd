// Asks the simulator of IAM: cases as JSON on stdin, a verdict for each as JSON on stdout.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.argv[2] + "/"));
const { runSimulation } = require("@cloud-copilot/iam-simulate");

let text = "";
for await (const part of process.stdin) text += part;

const verdicts = [];
for (const asked of JSON.parse(text)) {
  const answer = await runSimulation(
    {
      identityPolicies: [{ name: "policy", policy: asked.policy }],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy: asked.resourcePolicy,
      request: {
        principal: asked.principal,
        action: asked.action,
        resource: { resource: asked.resource, accountId: asked.account },
        contextVariables: asked.context,
      },
    },
    {},
  );
  const failed = answer.resultType === "error" ? JSON.stringify(answer.errors) : undefined;
  verdicts.push(failed ?? answer.overallResult);
}
console.log(JSON.stringify(verdicts));
