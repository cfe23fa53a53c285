"""What all pages share: which runs they show, and what they make of text and results that nobody can rely on."""

import re
import shutil
import subprocess
import sys
from urllib.parse import parse_qs

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard import link, report
from dashboard.figures import curves
from dashboard.unlike import unlike_times
from sslcore import trash
from sslcore.experiment import Experiment, Spec, Store
from sslcore.files import write_json
from sslcore.methods import METHODS, Entry
from sslcore.plan import plan
from tests import synthetic
from tests.pages.driving import clean, open_page, printed, texts


def test_text_from_a_folder_is_never_markup():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,))
    evil = "![x](http://example.org/x.png) <b>b</b> **b** :red[r]"
    experiment.write_spec(experiment.spec().model_copy(update={"title": evil, "question": evil}))
    for app in (open_page(), open_page("watch", experiment="photos")):
        for element in [*app.markdown, *app.caption]:
            assert "](http" not in element.value and "<b>" not in element.value
        assert not any("<b>" in element.proto.body for element in app.get("html"))


@pytest.mark.parametrize("page", [path.stem for path in link.VIEWS.glob("*.py")])
def test_who_hears_a_page_finds_its_parts_by_heading_and_its_pictures_in_words(page):
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,))
    for run in experiment.runs():
        synthetic.questions(run)
        Image.new("RGB", (8, 8)).save(run.views_file)
    synthetic.embed(experiment)
    app = open_page(page, experiment="photos")
    assert len(app.title) == 1 and not app.subheader, "below the title (h1) stand headers (h2): no level is left out"
    assert page == "ablations" or app.header
    pictures = [one for element in app.get("image") for one in element.proto.imgs]
    assert all(one.alt for one in pictures)
    assert pictures or page not in ("experiments", "methods", "watch")


@pytest.fixture
def two_experiments():
    """Two experiments whose runs have the same names."""
    return [
        synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), name=name, steps=60) for name in ("ours", "theirs")
    ]


def test_runs_of_several_experiments_stand_side_by_side(two_experiments):
    _, theirs = two_experiments
    synthetic.write_results(theirs.run("byol-bs256-s0"), labelled=False)
    everything = {run.id for experiment in two_experiments for run in experiment.runs()}
    app = open_page("compare", experiment="ours", also="theirs")
    assert set(app.multiselect(key="compare_runs").options) == everything
    assert "4 runs" in texts(app)
    app = open_page("probe", experiment="ours", also="theirs,ours,../ours,gone,theirs")
    methods = list(printed(app)[0].index)
    assert len(methods) == 3 and [name for name in methods if "theirs" in name] == ["MoCo · theirs"]
    assert printed(open_page("probe", experiment="ours"))[0].index.tolist() == ["MoCo", "BYOL"]


@pytest.mark.parametrize(("theirs", "same"), [("a1", True), ("b2", False)])
def test_a_colleagues_runs_on_the_same_images_are_on_no_others(two_experiments, theirs, same):
    for experiment, path, checksum in zip(two_experiments, ("data/cls", "elsewhere/cls"), ("a1", theirs)):
        synthetic.embed(experiment)
        for run in experiment.runs():
            write_json(run.config_file, run.config.model_copy(update={"dataset": path}).model_dump())
            write_json(run.environment_file, {"data": {"checksum": checksum}})
    different = "These runs are on different images (data/cls, elsewhere/cls)"
    for page in ("compare", "probe", "evidence", "embeddings"):
        app = open_page(page, experiment="ours", also="theirs")
        assert (different in texts(app).replace("\\", "")) != same, page
    assert ("embeddings_dataset" in [box.key for box in app.selectbox]) != same
    methods = set(printed(open_page("probe", experiment="ours", also="theirs"))[0].index)
    assert (methods == {f"{method} · {whose}" for method in ("MoCo", "BYOL") for whose in ("ours", "theirs")}) == same


def test_others_are_chosen_on_the_page_and_go_along(two_experiments):
    app = open_page("compare", experiment="ours")
    app.multiselect(key="link_also").set_value(["theirs"]).run()
    assert app.query_params["also"] == "theirs"
    assert len(app.multiselect(key="compare_runs").options) == 4
    app.switch_page("views/probe.py").run()
    assert clean(app).query_params["also"] == "theirs" and len(printed(app)[0]) == 4
    app.selectbox(key="link_experiment").set_value("theirs").run()
    assert clean(app).query_params["experiment"] == "theirs" and "also" not in app.query_params
    assert len(printed(app)[0]) == 2


def test_runs_that_were_chosen_are_forgotten_with_the_experiments_that_they_were_chosen_of(two_experiments):
    for box, chosen in (("link_experiment", "theirs"), ("link_also", ["theirs"])):
        app = open_page("compare", experiment="ours")
        app.multiselect(key="compare_runs").set_value(["byol-bs256-s0"]).run()
        (app.selectbox if box == "link_experiment" else app.multiselect)(key=box).set_value(chosen).run()
        assert clean(app).multiselect(key="compare_runs").value == []


def test_the_boxes_at_the_head_offer_what_is_there(two_experiments):
    ours, theirs = two_experiments
    for experiment, created in zip(two_experiments, (1.0, 2.0)):
        with experiment.editing() as spec:
            spec.created = created
    shutil.copytree(ours.path, ours.path.with_name("a,b"))
    app = open_page("compare", experiment="gone")
    assert "There is no experiment gone" in app.warning[0].value and app.query_params["experiment"] == "theirs"
    app = open_page("compare", experiment="ours", also="gone,theirs")
    assert app.multiselect(key="link_also").value == ["theirs"]
    (warning,) = app.warning
    assert "gone" in warning.value and "no such experiment" in warning.value
    assert set(app.selectbox(key="link_experiment").options) == {"ours", "theirs", "a,b"}
    assert app.multiselect(key="link_also").options == ["theirs"], "a comma is what stands between names in the address"
    with theirs.editing() as spec:
        spec.archived = True
    assert "theirs" not in open_page("compare", experiment="ours").selectbox(key="link_experiment").options
    app = open_page("compare", experiment="theirs")
    assert app.selectbox(key="link_experiment").value == "theirs" and not app.warning


def test_the_head_of_a_page_says_nothing_twice_and_nothing_of_what_is_gone(two_experiments):
    ours = two_experiments[0]
    with ours.editing() as spec:
        spec.title, spec.question, spec.hidden = "ours", "", ["deleted-since"]
    app = open_page("compare", experiment="ours")
    assert "**ours**" not in texts(app) and "link_hidden" not in [box.key for box in app.toggle]
    with ours.editing() as spec:
        spec.title = "Our runs"
    synthetic.running(ours.runs()[0])
    shown = texts(open_page("compare", experiment="ours"))
    assert "**Our runs**" in shown and "results.json is missing or" not in shown


@pytest.mark.parametrize("page", ["probe", "ablations", "claims", "methods"])
def test_links_between_pages_of_results_keep_what_stands_beside_and_what_is_shown(page):
    for name in ("ours", "theirs"):
        synthetic.store(Store().root, seeds=(0, 1), name=name, steps=20, axes={"batch_size": [64, 256]})
    app = open_page(page, experiment="ours", also="theirs", hidden="shown")
    kept = [parse_qs(link.proto.query_string) for link in app.get("page_link") if "experiment=" in link.proto.query_string]
    assert kept and all((one["also"], one["hidden"]) == (["theirs"], ["shown"]) for one in kept)


def test_a_link_to_another_experiment_takes_nothing_along(two_experiments):
    app = open_page(experiment="ours", also="theirs")
    queries = {link.proto.query_string for link in app.get("page_link")}
    assert {"experiment=ours&also=theirs", "experiment=theirs"} <= queries


def test_hidden_runs_are_left_out_until_asked_for_and_pinned_ones_come_first(two_experiments):
    ours, theirs = two_experiments
    with ours.editing() as spec:
        spec.hidden = ["moco-bs256-s0"]
    with theirs.editing() as spec:
        spec.pinned = ["moco-bs256-s0"]
    app = open_page("compare", experiment="ours")
    assert app.multiselect(key="compare_runs").options == ["byol-bs256-s0"]
    app.toggle(key="link_hidden").set_value(True).run()
    assert len(clean(app).multiselect(key="compare_runs").options) == 2
    assert app.query_params["hidden"] == "shown"
    menus = [button.key for button in open_page("watch", experiment="theirs").get("menu_button")]
    assert menus == ["watch_menu_moco-bs256-s0", "watch_menu_byol-bs256-s0"]


def test_an_experiment_that_an_address_names_twice_stands_beside_once(two_experiments):
    with two_experiments[1].editing() as spec:
        spec.hidden = ["moco-bs256-s0"]
    assert open_page("compare", experiment="ours", also="theirs,theirs").toggle(key="link_hidden").label == "Show 1 hidden run"


def test_the_address_of_a_report_is_quoted_and_below_that_of_the_dashboard(monkeypatch):
    for base, said in (("", "/report/a%20b%231"), ("/team/", "/team/report/a%20b%231")):
        monkeypatch.setattr("streamlit.get_option", {"server.baseUrlPath": base}.get)
        assert link.report(Experiment(Store().root / "a b#1")) == said


def test_compare_says_where_a_seed_that_stopped_ends_its_labels_mean():
    experiment = synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0, 1), name="ours")
    stopped = experiment.run("byol-bs256-s1")
    synthetic.running(stopped, 10)
    told = "goes on: BYOL after step 10."
    assert told not in texts(open_page("compare", experiment="ours")), "it is still to come"
    stopped.write_status(synthetic.status(stopped, "stopped", progress=0.01))
    assert told in texts(open_page("compare", experiment="ours")).replace("\\", "")
    assert told not in texts(open_page("compare", experiment="ours", compare_seeds="each run"))
    assert told in report.html(experiment)


def test_what_a_line_is_the_mean_over_is_said_above_the_first_that_is_one():
    experiment = synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0, 1), name="ours")

    def said(**chosen):
        return texts(open_page("compare", experiment="ours", **chosen))

    told = said()
    assert told.index(curves.MEANS) < told.index("loss of its own")
    assert curves.MEANS not in said(compare_seeds="each run") + said(compare_runs="byol-bs256-s0")
    page = report.html(experiment)
    assert page.index(curves.MEANS) < page.index('data-name="loss-')


def test_pages_say_how_knn_votes_and_that_a_loss_is_symmetric():
    experiment = synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0,), name="ours")
    told = "of at most 2,000 images, by the vote of the 20 nearest of at most 5,000 training images, at temperature 0.1;"
    assert told in texts(open_page("compare", experiment="ours")).replace("\\", "") and told in report.html(experiment)
    assert "loss is symmetric" not in texts(open_page("probe", experiment="ours")) + report.markdown(experiment)
    run = experiment.run("moco-bs256-s0")
    write_json(run.config_file, run.config.model_dump() | {"moco": run.config.moco.model_dump() | {"symmetric": True}})
    for page in ("compare", "probe", "evidence"):
        assert "MoCo's loss is symmetric here" in texts(open_page(page, experiment="ours"))
    assert "MoCo's loss is symmetric here" in report.markdown(experiment).replace("\\", "")


def test_compare_says_which_of_the_runs_that_a_link_names_are_not_shown(two_experiments):
    with two_experiments[0].editing() as spec:
        spec.hidden = ["moco-bs256-s0"]
    two_experiments[1].runs()[0].config_file.write_text("{")
    app = open_page("compare", experiment="ours", compare_runs=["byol-bs256-s0", "moco-bs256-s0", "gone"])
    (warning,) = app.warning
    assert "not shown: moco-bs256-s0 (hidden), gone (no such run)." in warning.value.replace("\\", "")
    assert app.multiselect(key="compare_runs").value == ["byol-bs256-s0"]
    unreadable = two_experiments[1].runs()[0].name
    _, warning = open_page("compare", experiment="theirs", compare_runs=unreadable).warning
    assert f"{unreadable} (cannot be read)" in warning.value.replace("\\", "")
    assert not open_page("compare", experiment="ours", compare_runs="byol-bs256-s0").warning


def test_an_experiment_all_of_whose_runs_are_hidden_says_how_to_see_them(two_experiments):
    with two_experiments[0].editing() as spec:
        spec.hidden = [run.name for run in two_experiments[0].runs()]
    for page in ("compare", "probe", "watch"):
        app = open_page(page, experiment="ours")
        assert "hidden" in app.info[0].value
        app.toggle(key="link_hidden").set_value(True).run()
        assert not clean(app).info
    for run in two_experiments[0].runs():
        trash.discard(Store(), run)
    for page in ("compare", "probe", "watch"):
        app = open_page(page, experiment="ours")
        assert "no runs" in app.info[0].value and "link_hidden" not in [box.key for box in app.toggle], (
            "what were hidden are gone"
        )


def test_runs_are_pinned_and_hidden_on_watch(two_experiments):
    ours = two_experiments[0]
    app = open_page("watch", experiment="ours")
    clean(app.menu_button(key="watch_menu_moco-bs256-s0").click("Pin").run())
    clean(app.menu_button(key="watch_menu_byol-bs256-s0").click("Hide").run())
    assert (ours.spec().pinned, ours.spec().hidden) == (["moco-bs256-s0"], ["byol-bs256-s0"])
    assert [button.key for button in app.get("menu_button")] == ["watch_menu_moco-bs256-s0"]
    app.toggle(key="link_hidden").set_value(True).run()
    clean(app.menu_button(key="watch_menu_byol-bs256-s0").click("Stop hiding").run())
    clean(app.menu_button(key="watch_menu_moco-bs256-s0").click("Unpin").run())
    assert (ours.spec().pinned, ours.spec().hidden) == ([], [])


def test_runs_on_different_images_are_said_to_be(two_experiments):
    synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="digits", dataset="digits", steps=20)
    assert "different images (digits, photos)" in texts(open_page("compare", experiment="ours", also="digits")).replace("\\", "")
    assert "different images" not in texts(open_page("compare", experiment="ours", also="theirs"))


def test_the_same_images_are_claimed_only_of_runs_on_one_data_set(two_experiments):
    mixed = synthetic.store(
        Store().root, methods=("byol",), seeds=(0,), name="mixed", axes={"dataset": ["photos", "digits"]}, steps=20
    )
    same = "same images for every run"
    assert same in texts(open_page("compare", experiment="ours", also="theirs"))
    assert same not in texts(open_page("compare", experiment="mixed"))
    assert same in texts(open_page("compare", experiment="mixed", compare_runs=mixed.runs()[0].name))
    assert same in report.html(two_experiments[0]) and same not in report.html(mixed)


def test_where_the_evaluation_differs_between_methods_it_is_said_of_what_is_measured_by_it(data_cache):
    """evaluate.sample decides on the images, evaluate.knn_train and the vote on kNN; the kNN of a run's end takes all images."""
    spec = Spec(
        base={"dataset": "photos", "evaluate.sample": 60},
        by_method={"byol": {"evaluate.sample": 80}, "simclr": {"evaluate.knn_train": 500}, "moco": {"evaluate.knn_k": 5}},
        axes={"method": ["byol", "simclr", "moco"], "batch_size": [64, 256]},
    )
    experiment = Store().create("odd", spec, plan(spec).configs)
    for run in experiment.runs():
        synthetic.write_metrics(run, 40)
        synthetic.write_results(run)
        synthetic.questions(run)
        run.write_status(synthetic.status(run, "finished"))
    synthetic.embed(experiment)
    samples, votes = "differ in evaluate.sample (60, 80)", "evaluate.knn_train (500, 5,000)"
    for page, params in (("compare", {}), ("evidence", {}), ("ablations", {"ablations_measure": "Effective rank"})):
        said = texts(open_page(page, experiment="odd", **params)).replace("\\", "")
        assert samples in said and "same images for every run" not in said
        assert (votes in said) == (page != "ablations")
    said = texts(open_page("ablations", experiment="odd", ablations_measure="kNN")).replace("\\", "")
    assert samples not in said and votes not in said and "differ in evaluate.knn_k (5, 20): their kNN" in said
    assert f"{samples}: what z forgets is" in texts(open_page("probe", experiment="odd")).replace("\\", "")
    told = report.html(experiment)
    assert told.count(samples) == 2 and votes in told and "not the same in each panel, laid out" in told
    image = str(np.load(experiment.runs()[0].embeddings_file)["index"][0])
    assert "60, 80 images of each run's own sample; among more, nearer ones are found" in texts(
        open_page("embeddings", experiment="odd", embeddings_image=image)
    )
    two = {"compare_runs": [run.name for run in experiment.runs() if run.config.method != "byol"]}
    said = texts(open_page("compare", experiment="odd", **two)).replace("\\", "")
    assert "same images for every run" in said and votes in said, "the neighbours are not those that are measured"


def test_where_augmentations_differ_what_is_measured_in_them_is_not_said_to_be_comparable(two_experiments):
    unlike = synthetic.store(
        Store().root,
        methods=("byol",),
        seeds=(0,),
        name="unlike",
        axes={"augment.hue": [0.0, 0.1], "batch_size": [64, 128]},
        steps=20,
    )
    said = "augment differently"
    assert said in texts(open_page("compare", experiment="unlike")) and said in report.html(unlike)
    assert said in texts(open_page("ablations", experiment="unlike", ablations_measure="Alignment"))
    assert said not in texts(open_page("ablations", experiment="unlike", ablations_measure="kNN"))
    assert said not in texts(open_page("compare", experiment="ours")) and said not in report.html(two_experiments[0])


def test_data_sets_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for name in ("cats", "cars"):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "images.npz", x_train=np.zeros((40, 16, 16, 3), np.uint8))
        path = str(tmp_path / name / "images.npz")
        synthetic.store(Store().root, methods=("byol",), seeds=(0,), name=name, dataset=path, steps=20)
    app = open_page("probe", experiment="cats", also="cars")
    assert "different images (cars/images.npz, cats/images.npz)" in texts(app).replace("\\", "")
    assert set(printed(app)[0].index) == {"BYOL · on cars/images.npz · cars", "BYOL · on cats/images.npz · cats"}


def test_what_runs_warned_of_stands_beside_their_numbers(two_experiments):
    ours = two_experiments[0]
    for run in ours.runs():
        run.update_status(warnings=["the images have <changed>", f"{run.name} has collapsed"])
    together = "byol-bs256-s0, moco-bs256-s0: the images have <changed>"
    for page in ("compare", "probe", "evidence", "ablations"):
        app = open_page(page, experiment="ours")
        (box,) = [box for box in app.expander if box.label == "3 warnings of these runs"]
        assert {line.value for line in box.text} > {together, "byol-bs256-s0: byol-bs256-s0 has collapsed"}
    assert together.replace("<", "&lt;").replace(">", "&gt;") in report.html(ours)


def test_results_that_nobody_can_rely_on_are_as_none_on_every_page():
    """And Probe says which they are."""
    experiment = synthetic.store(Store().root, seeds=(0, 1), name="odd")
    odd = [{"linear": 5}, {"linear": {"accuracy": "0.9"}}, {"knn": {"accuracy": 2}}, {"cost": []}]
    for run, content in zip(experiment.runs(), odd):
        write_json(run.results_file, content)
        assert run.results() is None
    for page in sorted(path.stem for path in link.VIEWS.glob("*.py")):
        app = open_page(page, experiment="odd")
        if page == "probe":
            (warning,) = app.warning
            said = warning.value.replace("\\", "")
            assert "results.json is missing or cannot be read" in said and all(
                run.name in said for run in experiment.runs()[: len(odd)]
            )
    assert "SimCLR" in report.html(experiment)


@pytest.mark.parametrize("value", [1e308, 10**400], ids=["float", "integer"])
def test_numbers_beyond_all_measure_are_as_none_on_every_page(value):
    experiment = synthetic.store(Store().root, seeds=(0, 1), name="odd")
    for run in experiment.runs():
        parts = {"cost": ("seconds", "flops_per_image"), "geometry": ("alignment", "effective_rank")}
        huge = {part: run.results()[part] | dict.fromkeys(names, value) for part, names in parts.items()}
        write_json(run.results_file, run.results() | huge)
    for page in sorted(path.stem for path in link.VIEWS.glob("*.py")):
        open_page(page, experiment="odd")
    assert "SimCLR" in report.html(experiment)


def test_numbers_that_were_obtained_in_two_ways_are_told_with_both():
    experiment = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), name="ours")
    synthetic.embed(experiment)
    for k, run in enumerate(experiment.runs()):
        synthetic.questions(run)
        results = run.results()
        parts = [results[name] for name in ("linear", "knn", "cost", "umap", "heads")]
        for part in (*parts, results["transfer"]["digits"]):
            part["protocol"] = f"way {k}"
        results |= {"label_efficiency_protocol": f"way {k}", "fine_tuning_protocol": f"way {k}"}
        write_json(run.results_file, results)
    for page, times in (("probe", 7), ("evidence", 2), ("embeddings", 1)):
        shown = texts(open_page(page, experiment="ours")).replace("\\", "").lower()
        assert shown.count("way 0") == shown.count("way 1") == times, page
        assert len(re.findall(r"way 1\b[^(\n]* \(moco", shown)) == times, "with whose it is"


def test_of_runs_that_waited_for_cores_it_is_said_wherever_their_times_are(two_experiments):
    first, second = two_experiments[0].runs()
    for run, threads in ((first, 0.02), (second, 0.98)):
        write_json(run.results_file, run.results() | {"cost": run.results()["cost"] | {"threads_waiting": threads}})
    said = "1 of 2 runs waited for cores that were busy (1.0 threads at a time)"
    for page, params in (("probe", {}), ("evidence", {}), ("compare", {"compare_x": "Time"})):
        assert said in texts(open_page(page, experiment="ours", **params)).replace("\\", "")
    assert "waited for cores" not in texts(open_page("compare", experiment="ours", compare_x="Step"))
    assert said in report.html(two_experiments[0]) and "waited for cores" in report.markdown(two_experiments[0])
    write_json(second.results_file, second.results() | {"cost": second.results()["cost"] | {"threads_waiting": 0.4}})
    assert "waited for cores" not in texts(open_page("probe", experiment="ours"))
    assert "3 of 3 runs waited" in (
        told := unlike_times([{"seconds": 60, "threads_waiting": n} for n in (2.0, 10.2, None, 0.61)])
    )
    assert "(0.6 to 10.2 threads" in told
    assert not unlike_times([{"seconds": 9.0, "threads_waiting": 2.0}]), "of so short a training no run is warned either"


def test_runs_without_an_experiment_json_are_on_every_page(data_cache):
    """As where their folders were copied by hand: what the grid was to be is not known, and every number is."""
    methods, axes = ("moco", "byol"), {"batch_size": [64, 256]}
    experiment = synthetic.store(Store().root, methods=methods, seeds=(0, 1), steps=20, name="copied", axes=axes)
    synthetic.embed(experiment)
    experiment.spec_file.unlink()
    for page in ("experiments", "watch", "compare", "probe", "embeddings", "ablations", "evidence", "claims", "methods"):
        assert "There is no experiment" not in texts(open_page(page, experiment="copied")), page
    said = texts(open_page("watch", experiment="copied")).replace("\\", "")
    assert "experiment.json is not there: its runs are all that is known of it" in said
    assert "What its grid lacks is not known" in texts(open_page("ablations", experiment="copied"))
    rows = printed(open_page("probe", experiment="copied"))[0].index
    assert list(rows) == [f"{method} · batch {size}" for method in ("MoCo", "BYOL") for size in (64, 256)]
    assert "experiment.json is not there" in open_page("new", clone="copied").error[0].value.replace("\\", "")


@pytest.mark.parametrize("page", sorted(path.stem for path in link.VIEWS.glob("*.py")))
def test_a_fourth_method_is_on_every_page(page, two_experiments, tmp_path, monkeypatch):
    """One that the Methods page describes, and whose settings have no class of their own."""
    monkeypatch.setitem(METHODS, "mean", Entry("Mean", "tests.test_methods:Mean"))
    texts_of = tmp_path / "dashboard" / "methods"
    shutil.copytree(link.VIEWS.parent / "methods", texts_of)
    for end in ("yaml", "svg"):
        shutil.copy(texts_of / f"byol.{end}", texts_of / f"mean.{end}")
    (tmp_path / "dashboard" / "views").symlink_to(link.VIEWS)
    monkeypatch.setattr(link, "VIEWS", tmp_path / "dashboard" / "views")
    experiment = two_experiments[0]
    run = experiment.run("byol-bs256-s0")
    write_json(run.config_file, run.config.model_copy(update={"method": "mean"}).model_dump())
    app = open_page(page, experiment="ours")
    shown = texts(app) + "".join(element.proto.body for element in app.get("html"))
    assert page not in ("methods", "probe", "evidence") or "Mean" in shown


def test_of_runs_on_different_devices_it_is_said_wherever_their_times_are(two_experiments):
    first, second = two_experiments[0].runs()
    assert "different devices" not in report.html(two_experiments[0])
    write_json(first.results_file, first.results() | {"cost": first.results()["cost"] | {"device": "a GPU"}})
    for run, device in ((first, "a GPU"), (second, "cpu")):
        write_json(run.environment_file, {"device": device})
    said = "different devices (a GPU; cpu)"
    pages = ("probe", {}), ("evidence", {}), ("compare", {"compare_x": "Time"})
    for page, params in pages:
        assert said in texts(open_page(page, experiment="ours", **params)).replace("\\", "")
    by_steps, by_time = (open_page("compare", experiment="ours", compare_x=x) for x in ("Step", "Time"))
    assert "different devices" not in texts(by_steps)
    assert len(by_time.caption) == len(by_steps.caption), "what is said more moves no chart to another place"
    assert said in report.html(two_experiments[0]) and "different devices" in report.markdown(two_experiments[0])
    grid = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="grid", axes={"batch_size": [16, 32]}, steps=20)
    run = grid.runs()[0]
    write_json(run.results_file, run.results() | {"cost": run.results()["cost"] | {"device": "a GPU"}})
    assert said in texts(open_page("ablations", experiment="grid")).replace("\\", "")


def test_a_choice_that_a_link_leaves_empty_is_the_usual_one():
    synthetic.embed(synthetic.store(Store().root, seeds=(0,), name="ours"))
    for page, keys in {
        "compare": ("compare_x", "compare_loss", "compare_seeds"),
        "evidence": ("evidence_read", "evidence_share", "evidence_cost", "evidence_marks", "evidence_measure"),
        "embeddings": ("embeddings_layout",),
        "ablations": ("ablations_reading",),
        "claims": ("claims_show",),
    }.items():
        usual, empty = texts(open_page(page, experiment="ours")), open_page(page, experiment="ours", **dict.fromkeys(keys, ""))
        assert texts(clean(empty)) == usual


def test_the_apps_own_file_is_a_script_too():
    """As Streamlit's AppTest runs it."""
    synthetic.store(Store().root, seeds=(0,), name="ours", steps=20)
    app = AppTest.from_file(str(link.VIEWS.parents[1] / "streamlit_app.py"), default_timeout=60).run()
    assert not app.exception and app.title[0].value == "Experiments"
    app.switch_page("dashboard/views/watch.py").run()
    assert not app.exception and app.title[0].value == "Watch"


def test_the_app_is_loaded_without_a_word():
    """Else whoever starts it would read a warning of Streamlit's first."""
    root = link.VIEWS.parents[1]
    loaded = subprocess.run([sys.executable, "-c", "import streamlit_app"], cwd=root, capture_output=True, text=True, check=True)
    assert not loaded.stdout and not loaded.stderr
