"""Slurm: the launcher beyond one machine.

A grid is one job array, each task `python -m sslcore train RUN_FOLDER` in a
script, which is kept as <experiment>/.slurm/<name>.sh. The path of the
script is also the jobs' comment, and that is how they are found again: a job's
number can go to another job after the controller crashed.

Who asks Slurm? Whoever launches, resumes or stops does so once, and so hears a
refusal at once. From then on nobody has to: a run writes its own status.json
from wherever it is trained, and jobs that have to make room queue themselves
again. What a run cannot tell (why it waits, that its node died, that somebody
cancelled it) the agent asks in one `squeue` every few seconds, for all runs and
however many look on. It keeps the answer in a file, which is all that screens
and shells read, so no page waits for a controller that does not answer; and it
corrects the status of runs whose jobs are gone. When Slurm does not answer
nothing is corrected, and the answer's age is told. An agent that dies takes
nothing with it: the next one asks the same question.

    <root>/slurm.yaml                   Settings: how this cluster wants its jobs
    <root>/.agent/<host>/slurm.json     what Slurm said last: see Heard
    <experiment>/.slurm/<name>.sh       a script that was submitted
                        <name>-<k>.out  what Slurm said to its k-th task
    <run>/.exit                         the trainer's exit code, written by the script

    settings.py   slurm.yaml
    script.py     what is submitted
    client.py     what is asked of Slurm, by its commands
    jobs.py       what Slurm is told: queue these runs, cancel that one
    heard.py      what it said last, for all who look on, and in words
    record.py     what the agent makes of it: the status of runs whose jobs are gone

Tried with Slurm 22.05, without accounting and with slurmdbd on MariaDB 10.11. None
is needed; where there is one, `sacct` adds the reason for which a job ended.
"""
