//! What must hold at the end of a run.

use super::driver::Driver;
use crate::github::JobStatus;
use crate::world::JOB_QUEUE;

/// The budget of a job: the tasks of a day whose runners get no job, and those that fail. Source: `jitgate::relaunch`.
const MOST_TASKS: usize = 4 + 37;

/// The same in minutes: four runners for their class's ten idle minutes each, which in a storm end as late as the cleaner mends
/// anything, 75 minutes later; and failed tasks of two minutes at most.
const MOST_MINUTES_IN_VAIN: i64 = 4 * (10 + 75) + 37 * 2;

/// Checks what is left at the end.
pub(super) fn conclude(driver: &mut Driver) {
    jobs_ran_once(driver);
    nothing_waits(driver);
    driver.report.most_tasks = driver.judge.most_tasks();
    if driver.report.most_tasks > MOST_TASKS {
        driver.judge.complain(None, format!("{} tasks for one job", driver.report.most_tasks));
    }
    driver.report.most_minutes_in_vain = driver.judge.most_minutes_in_vain(&driver.world);
    if driver.report.most_minutes_in_vain > MOST_MINUTES_IN_VAIN {
        let minutes = driver.report.most_minutes_in_vain;
        driver.judge.complain(None, format!("{minutes} task-minutes without a job for one job"));
    }
    // Warm runners.
    let ready = driver.knobs.warm.map_or(0, |count| usize::try_from(count).expect("few"));
    for task in driver.world.aws.ecs.live_tasks().into_iter().skip(ready) {
        let job = driver.diary.job_of_task(&task.arn);
        driver.judge.complain(job, format!("task {} is still live", task.id()));
    }
    for runner in driver.world.github.runners().into_iter().skip(ready) {
        let job = driver.diary.job_of_runner(runner.id);
        driver.judge.complain(job, format!("registration {} is left", runner.name));
    }
}

fn jobs_ran_once(driver: &mut Driver) {
    for id in driver.jobs.clone() {
        let job = driver.world.github.job(id).expect("it was queued there");
        let is_well = match job.times_taken {
            0 => driver.judge.cancelled.contains(&id) && job.status == JobStatus::Completed,
            1 => job.status == JobStatus::Completed && job.conclusion.as_deref() == Some("success"),
            _ => false,
        };
        if let Some(started_at) = job.started_at {
            let waited = (started_at - job.created_at).whole_seconds();
            driver.report.longest_wait = driver.report.longest_wait.max(waited);
            driver.report.waited += waited;
        }
        driver.report.lost += u64::from(!is_well && job.times_taken == 0);
        driver.report.ran_twice += u64::from(job.times_taken > 1);
        if !is_well {
            let what = format!(
                "it is {} ({}) and was taken {} times",
                job.status.as_str(),
                job.conclusion.as_deref().unwrap_or("no conclusion"),
                job.times_taken
            );
            driver.judge.complain(Some(id), what);
        }
    }
}

fn nothing_waits(driver: &mut Driver) {
    for reason in driver.world.dead_letters() {
        driver.judge.complain(None, format!("dead letter: {reason}"));
    }
    let depth = driver.world.aws.sqs.depth(JOB_QUEUE);
    if depth.total() > 0 {
        driver.judge.complain(None, format!("messages are left: {depth:?}"));
    }
}
