// One small piece of drawing at a time, so that no frame waits for all of them.

const STEP_MS = 40;

const jobs = [];

export function repeat(everyMs, work, { whileHidden = false } = {}) {
  jobs.push({ everyMs, work, due: 0, whileHidden });
}

export function begin() {
  setInterval(step, STEP_MS);
  document.addEventListener("visibilitychange", () => jobs.forEach((job) => (job.due = 0)));
}

function step() {
  const now = performance.now();
  let most = null;
  for (const job of jobs) {
    if (job.due <= now && (!document.hidden || job.whileHidden) && (most === null || job.due < most.due)) most = job;
  }
  if (most === null) return;
  most.due = now + most.everyMs;
  most.work();
}
