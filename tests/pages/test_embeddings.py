"""The Embeddings page as a reader drives it, without a browser."""

import re
import shutil
from dataclasses import replace
from html import escape

import numpy as np
import pandas as pd
import pytest

from dashboard import embeddings
from dashboard.figures import embedding as figure
from dashboard.sections.embeddings import panels, selection
from sslcore import datasets
from sslcore.analysis.layouts import procrustes
from sslcore.analysis.neighbours import nearest
from sslcore.config import resolve
from sslcore.evaluate.embed import layout_frame
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.methods import METHODS
from tests import synthetic
from tests.datasets.pictures import class_folders
from tests.pages.driving import clean, open_page, texts


def embedded(name: str = "photos", **settings):
    experiment = synthetic.store(Store().root, name=name, **{"seeds": (0,), "evaluate.sample": 60, **settings})
    synthetic.embed(experiment)
    return experiment


def lists(app) -> list[str]:
    """The lists of pictures, as HTML."""
    return [element.proto.body for element in app.get("html") if 'role="list"' in element.proto.body]


def strips(app) -> dict[str, list[int]]:
    """What each list of pictures is called -> the indices of its images."""
    return {
        re.search(r'aria-label="([^"]*)"', body)[1]: [int(k) for k in re.findall(r"/thumb/photos/(\d+)\.png\?of=", body)]
        for body in lists(app)
    }


def arrays(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        return dict(kept)


def test_a_link_names_the_selection_and_the_strip_lists_it_with_every_verdict():
    experiment = embedded()
    index = arrays(experiment.runs()[0])["index"]
    pick = sorted(index[[3, 20, 41]].tolist())
    app = open_page("embeddings", experiment="photos", embeddings_pick=",".join(map(str, pick)))
    assert sorted(strips(app)["Selected images"]) == pick
    (body,) = lists(app)
    for run in experiment.runs():
        kept = arrays(run)
        title = f"{METHODS[run.config.method].title} · seed {run.config.seed}"
        for k in pick:
            at = int(np.flatnonzero(kept["index"] == k)[0])
            label, guess = (synthetic.CLASSES[kept[name][at]] for name in ("label", "prediction"))
            card = re.search(rf'/{k}\.png\?of=" alt="image {k}, {label}".*?(?=role="listitem"|$)', body)[0]
            assert (f"✓ {title}<" in card) if label == guess else (f"✗ {title}: {guess}<" in card)
            assert f">{k} · {'train' if kept['train'][at] else 'test'}<" in card
    app.button[0].click().run()
    assert "Selected images" not in strips(clean(app)) and "embeddings_pick" not in app.query_params


def test_images_can_be_selected_without_a_pointer():
    index = arrays(embedded().runs()[0])["index"]
    app = open_page("embeddings", experiment="photos")
    clean(app.text_input(key="embeddings_numbers").set_value("no number").run())
    assert "Selected images" not in strips(app) and app.text_input(key="embeddings_numbers").value == "no number"
    clean(app.text_input(key="embeddings_numbers").set_value(f"{index[9]}, {index[2]}").run())
    assert sorted(strips(app)["Selected images"]) == sorted([index[2], index[9]])
    assert not app.text_input(key="embeddings_numbers").value and "embeddings_pick" in app.query_params
    assert "2 images, those first" in texts(app)
    clean(app.text_input(key="embeddings_numbers").set_value(f"{index[9]}, {index[2]}, 99999, 99998").run())
    assert "2 images (not in the sample of these runs: 2 more), those first" in texts(app)
    clean(app.text_input(key="embeddings_numbers").set_value("99999, x, 12 13").run())
    assert "None of the selected images (99999) is in the sample" in texts(app)
    assert "No number of an image: x, 12 13" in texts(app).replace("\\", "")
    assert app.text_input(key="embeddings_numbers").value == "x, 12 13"
    app.button[0].click().run()
    assert "embeddings_pick" not in clean(app).query_params


def test_a_selection_is_there_again_after_a_look_at_another_page():
    """The navigation leads back to an address that has none of this page's choices."""
    image = str(arrays(embedded().runs()[0])["index"][3])
    app = open_page("embeddings", experiment="photos", embeddings_pick=image)
    for page in ("probe", "embeddings"):
        app.switch_page(f"views/{page}.py")
        app.query_params.pop("embeddings_pick", None)
        clean(app.run())
    assert strips(app)["Selected images"] == [int(image)] and app.query_params["embeddings_pick"].startswith(f"{image}@")
    app.button[0].click().run()
    assert "Selected images" not in strips(clean(app)) and "embeddings_pick" not in app.query_params


def test_a_selection_that_is_too_long_for_a_link_is_in_none():
    embedded(methods=("byol",))
    app = open_page("embeddings", experiment="photos")
    for n, linked in ((300, True), (301, False)):
        app.text_input(key="embeddings_numbers").set_value(",".join(map(str, range(n)))).run()
        assert ("embeddings_pick" in clean(app).query_params) == linked
    assert selection.numbers("12, 5,x,-3,5,1234567890") == ([5, 12], ["x", "-3", "1234567890"])


def test_what_is_picked_stays_among_images_of_its_data_set():
    index = arrays(embedded().runs()[0])["index"]
    embedded("again")
    embedded("digits", dataset="digits")
    app = open_page("embeddings", experiment="photos", embeddings_pick=str(index[3]), embeddings_image=str(index[5]))
    clean(app.selectbox(key="link_experiment").set_value("again").run())
    assert {"Selected images", "The image"} <= strips(app).keys()
    clean(app.text_input(key="embeddings_numbers").set_value(f"{index[7]}").run())  # from now on the address says of which set
    clean(app.selectbox(key="link_experiment").set_value("digits").run())
    assert "Selected images" not in strips(app) and app.query_params["embeddings_pick"] == f"{index[7]}@photos"
    clean(app.selectbox(key="link_experiment").set_value("photos").run())
    assert strips(app)["Selected images"] == [index[7]]


@pytest.mark.parametrize("pick", ["-1", "a,b", "999999", "1" * 500, ",", "٣"])
def test_a_link_with_a_strange_selection_still_opens(pick):
    embedded()
    assert not strips(open_page("embeddings", experiment="photos", embeddings_pick=pick))


def test_of_many_runs_those_are_read_that_are_shown(monkeypatch):
    embedded(seeds=(0, 1, 2, 3))
    read, umap = [], embeddings._umap
    monkeypatch.setattr(embeddings, "_umap", lambda run, index: read.append(run.name) or umap(run, index))
    app = open_page("embeddings", experiment="photos")
    assert len(read) == len(set(read)) == 3 and len(app.multiselect(key="embeddings_runs").options) == 12


def test_where_nothing_of_the_selection_is_here_no_point_is_faint(monkeypatch):
    embedded()
    lit, panel = [], figure.panel
    monkeypatch.setattr(
        figure, "panel", lambda *own, selected, **rest: lit.append(selected) or panel(*own, selected=selected, **rest)
    )
    app = open_page("embeddings", experiment="photos", embeddings_pick="999999")
    assert len(lit) == 3 and not any(lit) and "in the sample of these runs" in texts(app)


def test_the_images_on_which_runs_disagree_come_first():
    experiment = embedded()
    kept = [arrays(run) for run in experiment.runs()]
    index, guesses = kept[0]["index"], np.stack([k["prediction"] for k in kept])
    kinds = dict(zip(index.tolist(), [len(set(column)) for column in guesses.T.tolist()]))
    app = open_page("embeddings", experiment="photos", embeddings_pick=",".join(map(str, index)))
    shown = strips(app)["Selected images"]
    assert len(shown) == 48 and [kinds[k] for k in shown] == sorted(kinds.values(), reverse=True)[:48]
    app.toggle(key="embeddings_all").set_value(True).run()
    assert sorted(strips(clean(app))["Selected images"]) == index.tolist()


def test_nearest_neighbours_of_a_given_number_in_every_method():
    experiment = embedded()
    image = int(arrays(experiment.runs()[0])["index"][7])
    app = open_page("embeddings", experiment="photos", embeddings_image=str(image))
    rows = {label: found for label, found in strips(app).items() if label.startswith("The images nearest")}
    assert len(rows) == 3 and all(len(found) == 8 and image not in found for found in rows.values())
    app.number_input(key="embeddings_image").set_value(
        image + 1 if image + 1 not in arrays(experiment.runs()[0])["index"] else 10**6
    ).run()
    assert "is not in the sample" in texts(clean(app)) and not strips(app)


@pytest.mark.parametrize("layout", ["UMAP", "PCA"])
@pytest.mark.parametrize("colour", ["class", "train or test", "right or wrong", "class predicted by"])
def test_every_colour_and_layout_draws(layout, colour):
    embedded(methods=("moco", "byol"))
    app = open_page("embeddings", experiment="photos", embeddings_layout=layout, embeddings_colour=colour)
    assert ("axes mean nothing" in texts(app)) == (layout == "UMAP") and ("straight projection" in texts(app)) == (
        layout == "PCA"
    )
    assert ("generalises" in texts(app)) == (colour == "right or wrong")


def test_neighbours_that_share_the_label_are_counted_and_beyond_the_last_image_the_last_is_named():
    run = embedded(methods=("byol",)).runs()[0]
    kept = embeddings.read(run)
    rows, _ = nearest(kept.h, 3, 8)
    same = int((kept.label[rows] == kept.label[3]).sum())
    assert same > 4
    assert f": {same} of 8 share its label" in texts(
        open_page("embeddings", experiment="photos", embeddings_image=str(kept.index[3]))
    )
    told = texts(open_page("embeddings", experiment="photos", embeddings_image="99999999"))
    assert f"the next one that is has the number {kept.index.max()}." in told


def test_neighbours_are_said_to_be_among_the_sample_or_each_runs_own():
    embedded(methods=("byol",))
    embedded("larger", methods=("moco",), **{"evaluate.sample": 80})
    image = str(arrays(Store().experiment("photos").runs()[0])["index"][0])
    alone, beside = (
        texts(open_page("embeddings", experiment="photos", embeddings_image=image, also=also)) for also in ("", "larger")
    )
    assert "among the 60 images of the sample." in alone and "among the 60, 80 images of each run's own sample" in beside


def test_what_is_measured_of_a_layout_is_told_to_two_digits_and_a_layout_before_training_is_said_to_be(monkeypatch):
    run = embedded(methods=("byol",)).runs()[0]
    results = run.results()
    linear = results["linear"] | {"classes": [f"thing {k}" for k in range(100)], "confusion": None}
    write_json(run.results_file, results | {"umap": {"silhouette": -0.001, "silhouette_h": -0.25}, "linear": linear})
    last = pd.read_parquet(run.umap_file)
    pd.concat([last.assign(epoch=0), last]).to_parquet(run.umap_file, index=False)
    shown = texts(open_page("embeddings", experiment="photos"))
    assert "silhouette here\N{NO-BREAK SPACE}**0.00** · in h\N{NO-BREAK SPACE}**−0.25**" in shown
    assert "100 classes are more than colours can tell apart" in shown
    drawn = []
    monkeypatch.setattr(panels, "plot", lambda figure, alt, **_: drawn.append(alt))
    open_page("embeddings", experiment="photos", embeddings_epoch="0")
    assert drawn[0].startswith("UMAP of 60 images, before training as BYOL · seed 0 places them")


@pytest.mark.parametrize(("colour", "offered"), [("class", True), ("class predicted by", True), ("right or wrong", False)])
def test_classes_can_be_picked_out_where_classes_are_the_colours(colour, offered):
    embedded(methods=("byol",))
    app = open_page("embeddings", experiment="photos", embeddings_colour=colour)
    assert ("embeddings_highlight" in [box.key for box in app.multiselect]) == offered


def test_pictures_are_those_of_the_run_whose_images_are_on_record():
    experiment = embedded(methods=("moco", "byol"))
    index = arrays(experiment.runs()[0])["index"]
    write_json(experiment.run("byol-bs256-s0").environment_file, {"data": {"checksum": "c0ffee", "train": 10, "test": 5}})
    app = open_page("embeddings", experiment="photos", embeddings_image=str(index[0]))
    pictures = [element.proto.body for element in app.get("html") if "/thumb/" in element.proto.body]
    assert pictures and all("?of=c0ffee" in body for body in pictures)


def test_pictures_of_ones_own_are_called_by_their_files(tmp_path):
    """Below each picture the file's name; where it lies stands in words for who hears the page, and under the pointer."""
    path = class_folders(tmp_path / "pets", {"a&b": 20, "dog": 20})
    experiment = embedded(methods=("moco", "byol"), dataset=str(path), image_size=16)
    checksum = datasets.load(str(path), 16).checksum
    for run in experiment.runs():
        write_json(run.environment_file, {"data": {"checksum": checksum, "train": 32, "test": 8}})
    app = open_page("embeddings", experiment="photos", embeddings_image="0", embeddings_pick="0,39")
    assert len(lists(app)) == 4  # those selected, the image, and its neighbours for each run
    for body in lists(app):
        images = re.findall(r"/(\d+)\.png\?of=\w+\" alt=\"[^\"]*, ((?:a&amp;b|dog)/\d+\.png)\"", body)
        assert len(images) == body.count("<img") > 0
        for index, file in images:
            assert escape(datasets.file_of(str(path), int(index), 16, checksum)) == file
            assert f'title="{file}">{file.rpartition("/")[2]}</div>' in body


def test_one_seed_of_each_method_until_others_are_chosen():
    embedded(seeds=(0, 1))
    app = open_page("embeddings", experiment="photos", embeddings_image="0")
    assert len([label for label in strips(app) if label.startswith("The images nearest")]) in (0, 3)
    app.multiselect(key="embeddings_runs").set_value(["byol-bs256-s0", "byol-bs256-s1"]).run()
    app.number_input(key="embeddings_image").set_value(int(arrays(Store().find("photos")[0])["index"][0])).run()
    near = [label for label in strips(clean(app)) if label.startswith("The images nearest")]
    assert [label.rpartition(" of ")[2] for label in near] == ["BYOL · seed 0", "BYOL · seed 1"]


def test_a_layout_whose_results_cannot_be_read_is_not_said_to_be_of_an_older_version():
    (run,) = embedded(methods=("moco",)).runs()
    run.results_file.write_text('{"umap": {"trust')
    said = texts(open_page("embeddings", experiment="photos"))
    assert (
        "No results.json that can be read says how faithful it is; `python -m sslcore evaluate` measures it" in said
        and "older version" not in said
    )


def test_a_layout_is_as_faithful_as_its_numbers_say_which_are_numbers():
    (run,) = embedded(methods=("moco",)).runs()
    umap = {"trustworthiness": 10**400, "neighbourhood_preservation": True, "silhouette": -0.001, "silhouette_h": -0.25}
    write_json(run.results_file, run.results() | {"umap": umap})
    said = texts(open_page("embeddings", experiment="photos"))
    assert "silhouette here\N{NO-BREAK SPACE}**0.00** · in h\N{NO-BREAK SPACE}**−0.25**" in said
    assert "trustworthiness **" not in said and "preservation **" not in said


def test_runs_without_an_embedding_are_told_with_what_to_do():
    experiment = embedded(methods=("moco", "simclr", "byol", "supervised"))
    moco, simclr = experiment.run("moco-bs256-s0"), experiment.run("simclr-bs256-s0")
    moco.embeddings_file.unlink()
    simclr.embeddings_file.write_bytes(b"PK half a file")
    synthetic.running(experiment.run("supervised-bs256-s0"))
    app = open_page("embeddings", experiment="photos")
    said = texts(app)
    assert "moco-bs256-s0: embeddings.npz is missing; python -m sslcore evaluate photos/moco-bs256-s0 makes it again" in said
    assert "simclr-bs256-s0: embeddings.npz cannot be read" in said and "supervised-bs256-s0: not finished yet" in said
    experiment.run("byol-bs256-s0").umap_file.unlink()
    assert "PCA needs none" in texts(open_page("embeddings", experiment="photos"))
    experiment.run("byol-bs256-s0").embeddings_file.unlink()
    assert "No run has an embedding yet" in texts(open_page("embeddings", experiment="photos"))


def test_where_no_embedding_is_to_come_the_page_does_not_say_so():
    experiment = embedded(methods=("moco", "byol"))
    for run in experiment.runs():
        run.embeddings_file.unlink()
    said = texts(open_page("embeddings", experiment="photos"))
    assert "No run has an embedding that can be read. The list above" in said
    for run in experiment.runs():
        run.update_status(state="interrupted")
    said = texts(open_page("embeddings", experiment="photos"))
    assert "can resume" not in said, "they were measured, and have no checkpoint"
    assert "No run has an embedding that can be read. The list above" in said
    for run in experiment.runs():
        synthetic.failed(run)
    said = texts(open_page("embeddings", experiment="photos"))
    assert "No run got as far as its embedding. Watch says why" in said and "moco-bs256-s0: failed: Watch says why" in said
    assert "sslcore evaluate" not in said


def test_without_labels_points_are_coloured_by_split():
    experiment = embedded(methods=("byol",))
    synthetic.embed(experiment, labelled=False)
    synthetic.write_results(experiment.runs()[0], labelled=False)
    kept = arrays(experiment.runs()[0])["index"].tolist()
    app = open_page("embeddings", experiment="photos", embeddings_image=str(kept[0]), embeddings_pick=str(kept[1]))
    assert "no labels" in texts(app) and "share its label" not in texts(app)
    assert "Colour" not in [box.label for box in app.selectbox]
    assert strips(app)["Selected images"] == [kept[1]]


def test_data_sets_are_shown_one_at_a_time():
    embedded()
    other = Store().create("digits", Spec(), {"run": resolve({"dataset": "digits", "evaluate.sample": 60})})
    synthetic.write_results(other.runs()[0])
    synthetic.embed(other)
    other.runs()[0].write_status(synthetic.status(other.runs()[0], "finished", progress=1.0))
    app = open_page("embeddings", experiment="photos", also="digits")
    assert app.selectbox(key="embeddings_dataset").value == "photos" and len(app.multiselect(key="embeddings_runs").options) == 3
    app.selectbox(key="embeddings_dataset").set_value("digits").run()
    assert clean(app).multiselect(key="embeddings_runs").options == ["digits/run"]


def test_epochs_can_be_looked_at_where_they_were_kept():
    experiment = embedded(methods=("moco", "byol"))
    run = experiment.run("byol-bs256-s0")
    last = pd.read_parquet(run.umap_file)
    early = layout_frame(last[["x", "y"]].to_numpy()[::-1], last["index"].to_numpy(), last["label"].to_numpy(), 5)
    pd.concat([early, last]).to_parquet(run.umap_file, index=False)
    app = open_page("embeddings", experiment="photos")
    assert app.select_slider(key="embeddings_epoch").options == ["5", "last"]
    assert "trustworthiness" in texts(app) and "at the last epoch only" not in texts(app)
    app.select_slider(key="embeddings_epoch").set_value("5").run()
    assert "at the last epoch only" in texts(clean(app))


def test_text_from_a_folder_is_never_markup():
    experiment = embedded(methods=("byol",))
    run = experiment.runs()[0]
    evil = '"><img src=x onerror=alert(1)>'
    results = run.results()
    results["linear"]["classes"] = [evil] * 5
    results["umap"] = ["no mapping"]
    synthetic.write_json(run.results_file, results)
    index = arrays(run)["index"]
    app = open_page("embeddings", experiment="photos", embeddings_pick=str(index[0]), embeddings_image=str(index[1]))
    assert strips(app) and all("<img src=x" not in element.proto.body for element in app.get("html"))


# -- Reading -----------------------------------------------------------------------------


def test_what_is_read_is_what_was_written_and_again_after_a_change():
    run = embedded(methods=("byol",)).runs()[0]
    kept, read = arrays(run), embeddings.read(run)
    assert all(np.array_equal(getattr(read, name), kept[name]) for name in ("h", "index", "label", "prediction", "train"))
    assert list(read.umap) == [20] and embeddings.read(run) is read
    np.savez(run.embeddings_file, **kept | {"prediction": 1 - kept["prediction"]})
    assert np.array_equal(embeddings.read(run).prediction, 1 - kept["prediction"])
    before = embeddings.pca(run)[0]
    np.savez(run.embeddings_file, **kept | {"h": kept["h"][:, ::2] ** 2})
    assert not np.array_equal(embeddings.pca(run)[0], before)


def test_what_an_older_version_wrote_is_read_or_told_to_be_older():
    run = embedded(methods=("byol",)).runs()[0]
    kept = arrays(run)
    np.savez(run.embeddings_file, **kept | {"label": np.array(-1)})
    assert embeddings.read(run).label.tolist() == [-1] * 60
    np.savez(run.embeddings_file, **{name: part for name, part in kept.items() if name != "prediction"})
    assert "embeddings.npz has no prediction, perhaps because an older version wrote it" in embeddings.problem(run)


def test_a_point_tells_its_class_what_it_is_taken_for_and_whether_that_is_right():
    label, prediction, train = np.array([0, 3, -1, 1]), np.array([0, 1, 1, -1]), np.array([True, False, True, False])
    layout = np.arange(8.0).reshape(4, 2)
    kept = embeddings.Embedding(np.array([7, 5, 9, 2]), np.zeros((4, 2)), label, prediction, train, {})
    told = embeddings.points(kept, layout, ["cat", "dog"])
    assert told.to_numpy().tolist() == [
        [0, 1, 7, "cat", "cat", "train", "right"],
        [2, 3, 5, "class 3", "dog", "test", "wrong"],
        [4, 5, 9, "", "dog", "train", ""],
        [6, 7, 2, "dog", "", "test", ""],
    ]


def test_a_layout_of_other_images_is_as_none():
    run = embedded(methods=("byol",)).runs()[0]
    pd.read_parquet(run.umap_file).iloc[::-1].to_parquet(run.umap_file)
    assert not embeddings.read(run).umap


@pytest.mark.parametrize(
    "change",
    [
        {"h": np.zeros((3, 2))},
        {"index": np.zeros(60, int)},
        {"label": np.zeros((60, 2))},
        {"label": np.zeros(60)},
        {"train": np.zeros(3, bool)},
        {"prediction": np.array(["a"] * 60)},
        {"h": np.array(["a"] * 60)},
        {"h": np.array([["a", "b"]] * 60)},
        {"h": np.full((60, 2), 1e300)},
        {"h": np.full((60, 2), np.nan)},
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_words(change):
    run = embedded(methods=("byol",)).runs()[0]
    np.savez(run.embeddings_file, **arrays(run) | change)
    with pytest.raises(ValueError, match=r"embeddings.npz .* makes it again"):
        embeddings.read(run)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_layout_with_a_point_that_lies_nowhere_is_as_none(odd):
    run = embedded(methods=("byol",)).runs()[0]
    layout = pd.read_parquet(run.umap_file)
    layout.loc[3, "x"] = odd
    layout.to_parquet(run.umap_file)
    assert not embeddings.read(run).umap
    open_page("embeddings", experiment=run.experiment.name)


def test_pickled_arrays_are_refused():
    run = embedded(methods=("byol",)).runs()[0]
    np.savez(run.embeddings_file, **arrays(run) | {"label": np.array([{}] * 60, dtype=object)})
    with pytest.raises(ValueError, match="cannot be read"):
        embeddings.read(run)


def test_panels_are_laid_over_the_first_by_the_images_they_share():
    experiment = embedded(methods=("moco", "byol"))
    first, other = (embeddings.read(run) for run in experiment.runs())
    layout = first.umap[20]
    turned = embeddings.Embedding(
        other.index[10:],
        other.h[10:],
        other.label[10:],
        other.prediction[10:],
        other.train[10:],
        {20: -2 * layout[10:, ::-1] + 7},
    )
    np.testing.assert_allclose(embeddings.laid_over(turned, turned.umap[20], first), layout[10:], atol=1e-4)
    assert embeddings.laid_over(first, layout, first) is layout
    np.testing.assert_allclose(embeddings.laid_over(other, other.umap[20], first), procrustes(other.umap[20], layout), atol=1e-6)
    begun = np.random.default_rng(0).normal(size=layout.shape)
    longer = replace(first, umap={5: begun[::-1], 20: layout})
    aside = replace(longer, umap={5: -2 * begun[:, ::-1] + 7, 20: -2 * layout[:, ::-1] + 7})
    np.testing.assert_allclose(embeddings.laid_over(aside, aside.umap[5], longer), begun, atol=1e-4)
    few = replace(turned, index=np.r_[first.index[:2], turned.index[2:] + 10**6])
    for one, reference in ((turned, replace(first, umap={})), (few, first)):
        assert embeddings.laid_over(one, one.umap[20], reference) is one.umap[20], "nothing to lay it over"


def test_of_the_kept_epochs_the_last_up_to_the_one_asked_for_is_shown():
    kept = {0: "none", 5: "early", 20: "last"}
    assert [embeddings.at_epoch(kept, epoch) for epoch in (None, 4, 5, 19, 100)] == [
        (20, "last"),
        (0, "none"),
        (5, "early"),
        (5, "early"),
        (20, "last"),
    ]
    assert embeddings.at_epoch({5: "early"}, 0) == (5, "early")


def test_a_copied_experiment_shows_the_same():
    experiment = embedded(methods=("byol",))
    index = arrays(experiment.runs()[0])["index"]
    shutil.copytree(experiment.path, Store().root / "copy")
    both = [
        strips(open_page("embeddings", experiment=name, embeddings_pick=str(index[0]), embeddings_image=str(index[1])))
        for name in ("photos", "copy")
    ]
    assert both[0] == both[1] and both[0]


@pytest.mark.parametrize("odd", ["float16", "text"])
def test_a_layout_of_odd_numbers_is_as_none(odd):
    run = embedded(methods=("byol",)).runs()[0]
    layout = pd.read_parquet(run.umap_file)
    column = {"float16": {"epoch": layout["epoch"].astype("float16")}, "text": {"x": layout["x"].astype(str)}}[odd]
    layout.assign(**column).to_parquet(run.umap_file, index=False)
    clean(open_page("embeddings", experiment="photos"))


def test_of_embeddings_without_labels_umap_parquet_says_them_and_the_environment_which_are_training_images():
    (run,) = embedded(methods=("byol",)).runs()
    whole = arrays(run)
    with run.embeddings_file.open("wb") as file:
        np.savez(file, **{name: whole[name] for name in ("h", "index", "prediction")})
    write_json(run.environment_file, {"data": {"train": 1000}})
    read = embeddings.read(run)
    assert np.array_equal(read.label, whole["label"]) and np.array_equal(read.train, whole["index"] < 1000)
    assert "older version" not in texts(open_page("embeddings", experiment="photos"))
    run.umap_file.unlink()
    assert (embeddings.read(run).label == -1).all()


def test_what_a_colour_says_of_the_probe_is_told_where_it_is_the_colour():
    embedded(methods=("byol",))
    said = {
        "class predicted by": "A point's colour is the class that the linear probe takes the image for.",
        "right or wrong": "only its errors on test images say how well it generalises.",
    }
    for colour in panels.BY.values():
        shown = texts(open_page("embeddings", experiment="photos", embeddings_colour=colour))
        assert [words in shown for words in said.values()] == [colour == own for own in said]


def test_of_many_classes_those_that_were_picked_out_all_stand_out():
    (run,) = embedded(methods=("byol",)).runs()
    linear = run.results()["linear"] | {"classes": [f"thing {k}" for k in range(100)], "confusion": None}
    write_json(run.results_file, run.results() | {"linear": linear})
    shown = texts(open_page("embeddings", experiment="photos"))
    assert "100 classes are more than colours can tell apart: 6 of them stand out." in shown
    app = open_page("embeddings", experiment="photos", embeddings_highlight=["thing 1", "thing 2"])
    assert "more than colours can tell apart" not in texts(app)


def test_a_selection_that_no_link_holds_is_said_to_be_lost_with_the_page():
    embedded(methods=("byol",))
    app = open_page("embeddings", experiment="photos")
    for n, lost in ((300, False), (301, True)):
        app.text_input(key="embeddings_numbers").set_value(",".join(map(str, range(n)))).run()
        assert (f"{n} images are too many for a link (300 at most): it will open without them." in texts(clean(app))) == lost


def test_where_all_images_have_the_same_h_nothing_is_said_to_be_faithful():
    (run,) = embedded(methods=("byol",)).runs()
    write_json(run.results_file, run.results() | {"umap": {"trustworthiness": None, "silhouette": None}})
    assert "All images have the same h: there is nothing to be faithful to." in texts(
        open_page("embeddings", experiment="photos")
    )


def test_points_are_drawn_by_the_whole_of_plotly_and_lines_by_a_third_of_it():
    embedded(methods=("byol",))
    for page, whole in (("embeddings", True), ("compare", False)):
        charts = [
            one.proto.json for one in open_page(page, experiment="photos").get("bidi_component") if '"whole"' in one.proto.json
        ]
        assert charts and all(("/plotly.js?v=" in chart) == whole == ("plotly-cartesian" not in chart) for chart in charts)
