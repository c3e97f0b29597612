// One small piece of drawing at a time, so that no frame waits for all of them.

const STEP_MS = 40;

const jobs = [];

export function repeat(everyMs, work, { after = 0 } = {}) {
  jobs.push({ everyMs, work, due: after && performance.now() + after });
}

export function begin() {
  setInterval(step, STEP_MS);
  document.addEventListener("visibilitychange", () => jobs.forEach((job) => (job.due = 0)));
}

function step() {
  if (document.hidden) return;
  const now = performance.now();
  let most = null;
  for (const job of jobs) {
    if (job.due <= now && (most === null || job.due < most.due)) most = job;
  }
  if (most === null) return;
  most.due = now + most.everyMs;
  most.work();
}
