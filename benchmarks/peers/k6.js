// Closed: as many users as VUS, no waiting. Open: arrivals at RATE a second, however slow the answers are.
import http from "k6/http";

const open = __ENV.RATE !== undefined;

export const options = {
  discardResponseBodies: false,
  summaryTrendStats: ["count", "med", "p(50)", "p(95)", "p(99)", "p(99.9)"],
  scenarios: {
    main: open
      ? {
          executor: "constant-arrival-rate",
          rate: Number(__ENV.RATE),
          timeUnit: "1s",
          duration: __ENV.DURATION,
          preAllocatedVUs: Number(__ENV.VUS),
          maxVUs: Number(__ENV.VUS),
        }
      : { executor: "constant-vus", vus: Number(__ENV.VUS), duration: __ENV.DURATION },
  },
};

export default function () {
  http.get(__ENV.TARGET);
}
