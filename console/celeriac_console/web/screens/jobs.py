"""Jobs: redrives, discards and replays, and their previews, with their progress."""

from celeriac_console.web.jobs.job import Job
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View


def _read(asked: Asked) -> View:
    return View({"jobs": [job.progress(whole=asked.operator.sees_arguments) for job in asked.shared.jobs.all()]}, "")


def _one(asked: Asked) -> View:
    job = asked.shared.jobs.get(asked.path["number"])
    shown = job.progress(whole=asked.operator.sees_arguments)
    return View({"job": shown}, shown.work.command, shown.work.title, is_live=not shown.is_ended)


def _acts(asked: Asked) -> Done:
    job, what = asked.shared.jobs.get(asked.path["number"]), asked.path["what"]
    deeds = {"pause": Job.pause, "resume": Job.resume, "stop": Job.stop}
    if what not in deeds:
        raise LookupError("There is no such action.")
    deeds[what](job)
    said = {"pause": "It pauses after what it does at this moment.", "resume": "It goes on.", "stop": "It stops."}
    return Done(said[what], f"/jobs/{job.number}")


ROOM = Room(
    (
        Screen("/jobs", "Jobs", "jobs.html", _read, is_live=True, is_free=True),
        Screen("/jobs/{number}", "Job", "job.html", _one, is_live=True, is_free=True),
    ),
    (Action("/jobs/{number}/{what}", _acts),),
)
