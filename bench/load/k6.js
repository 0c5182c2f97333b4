// The same mixture for k6 (https://k6.io), at a fixed rate of arrivals: a service that stalls cannot hide it.
//
//     k6 run --env URL=http://127.0.0.1:8000 --env RATE=50 bench/load/k6.js
//
// k6 exits with 99 when a threshold is not kept.
import http from "k6/http";
import { check } from "k6";

const url = __ENV.URL || "http://127.0.0.1:8000";
const key = __ENV.API_KEY;
const headers = Object.assign(
  { "content-type": "application/json" },
  key ? { authorization: `Bearer ${key}` } : {},
);

export const options = {
  scenarios: {
    arrivals: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 20),
      timeUnit: "1s",
      duration: __ENV.DURATION || "60s",
      preAllocatedVUs: 64,
      maxVUs: 512,
    },
  },
  thresholds: {
    http_req_failed: ["rate<=0"],
    checks: ["rate>=1"],
    dropped_iterations: ["count<=0"],
    "http_req_duration{kind:single}": [`p(95)<${__ENV.MOST_P95_MS || 2000}`],
  },
};

const letters = "ACDEFGHIKLMNPQRSTVWY";

function sequence(most) {
  const length = Math.min(most, 20 + Math.floor(-40 * Math.log(1 - Math.random())));
  let text = "M";
  for (let n = 0; n < length; n++) text += letters[Math.floor(Math.random() * letters.length)];
  return text;
}

function ask(kind, path, body, holds) {
  const answer = http.post(url + path, JSON.stringify(body), { headers, tags: { kind, name: kind } });
  check(answer, {
    "status is 200": (found) => found.status === 200,
    "the answer is that of the request": (found) => found.status === 200 && holds(found.json()),
  });
}

export default function () {
  const draw = Math.random();
  if (draw < 0.7) {
    const text = sequence(120);
    ask("single", "/predict", { sequence: text }, (found) => found.sequence === text);
  } else if (draw < 0.94) {
    const input = Array.from({ length: 8 }, () => sequence(120));
    ask("batch of 8", "/v1/embeddings", { input, encoding_format: "base64" }, (found) => found.data.length === 8);
  } else if (draw < 0.98) {
    const input = Array.from({ length: 64 }, () => sequence(120));
    ask("batch of 64", "/v1/embeddings", { input, priority: 2 }, (found) => found.data.length === 64);
  } else {
    const text = sequence(40);
    ask("score", "/v1/score", { input: text }, (found) => found.data[0].log_probabilities.length === text.length);
  }
}
