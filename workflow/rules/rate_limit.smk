# A file of its own, so that tests and benchmarks can include it alone.


def drop_default_rate_limit():
    """Drops the limit of 100 jobs a second that Snakemake 9 sets by default.

    Upstream fault, in 9.27.1 and not known to be reported: with a limit, every pass of the scheduler starts a timer
    (`JobScheduler._schedule_reevalutation`) that starts another pass a second later, and so on until the end. Hundreds
    of threads then look through all jobs once a second each. A limit that somebody set stays, and so does that of a
    version that keeps it elsewhere.
    """
    scheduler = getattr(workflow, "scheduler", None)
    limit = getattr(scheduler, "job_rate_limiter", None)
    if (getattr(limit, "max_jobs", None), getattr(limit, "timespan", None)) == (100, 1):
        scheduler.job_rate_limiter = None
