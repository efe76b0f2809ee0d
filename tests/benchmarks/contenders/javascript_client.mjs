// The JavaScript client of the engine's makers, tuned: no pause between polls, long polls, 500 tasks at once.
//
//   node javascript_client.mjs '{"rest": …, "topic": …, "seconds": 0, "runs": null, "lock": 60000, "interval": 0}'
//
// Works on one topic until it is ended.

import { appendFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { Client, Variables } from "camunda-external-task-client-js";

const { rest, topic, seconds, runs, lock, interval } = JSON.parse(process.argv[2]);

const client = new Client({
  baseUrl: rest,
  workerId: `js-${process.pid}`,
  maxTasks: 100,
  maxParallelExecutions: 500,
  interval,
  asyncResponseTimeout: 5000,
  lockDuration: lock,
});

client.subscribe(topic, async ({ task, taskService }) => {
  if (runs) appendFileSync(runs, `${task.id}\n`);
  if (seconds) await wait(seconds * 1000);
  const answer = new Variables().setTyped("answer", {
    value: String(task.variables.get("number")),
    type: "String",
    valueInfo: {},
  });
  await taskService.complete(task, answer);
});
