import base64
import json
import struct
from urllib.parse import quote

import numpy as np
import pygltflib
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.errors import ShapeError
from pointmcd.shapes.formats import files_beside
from pointmcd.shapes.gltf import parse_gltf
from pointmcd.shapes.mesh import read_mesh

CODES = {
    "i4": 5124,
    "f8": 5130,
    "i1": 5120,
    "u1": 5121,
    "i2": 5122,
    "u2": 5123,
    "u4": 5125,
    "f4": 5126,
}
SQUARE = np.array([(0, 0, 0), (2, 0, 0), (2, 1, 0), (0, 1, 0)], "f4")
TWO = np.array([0, 1, 2, 0, 2, 3], "u2")
KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Made:
    """A glTF file in the making: arrays become accessors, the rest is as a test writes it."""

    def __init__(self, **content):
        self.bytes = b""
        self.content = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": []} | content

    def view(self, array, **more):
        self.bytes += bytes(-len(self.bytes) % 4)
        view = {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": array.nbytes}
        self.content["bufferViews"].append(view | more)
        self.bytes += array.tobytes()
        return len(self.content["bufferViews"]) - 1

    def array(self, array, **more):
        array = np.asarray(array)
        width = array.shape[1] if array.ndim > 1 else 1
        accessor = {"componentType": CODES[array.dtype.str[1:]], "count": len(array)}
        accessor |= {"type": KINDS[width], "bufferView": self.view(array)}
        self.content["accessors"].append(accessor | more)
        return len(self.content["accessors"]) - 1

    def primitive(self, points=SQUARE, corners=TWO, **more):
        made = {"attributes": {"POSITION": self.array(points)}}
        return made | ({} if corners is None else {"indices": self.array(corners)}) | more

    def mesh(self, *primitives, **more):
        self.content.setdefault("meshes", []).append({"primitives": list(primitives)} | more)
        return len(self.content["meshes"]) - 1

    def glb(self, padding=b" "):
        content = self.content | {"buffers": [{"byteLength": len(self.bytes)}]}
        text = json.dumps(content).encode()
        text += padding * (4 - len(text) % 4)
        body = self.bytes + bytes(-len(self.bytes) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        chunks += struct.pack("<I4s", len(body), b"BIN\0") + body
        return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks

    def text(self, uri):
        return json.dumps(self.content | {"buffers": [{"uri": uri, "byteLength": 0}]}).encode()


def one(points=SQUARE, corners=TWO, node=None, **more):
    """Return a file with one primitive at one node."""
    made = Made(nodes=[{"mesh": 0} | (node or {})])
    made.mesh(made.primitive(points, corners, **more))
    return made


def triangles(data, folder=None):
    found = parse_gltf(data, folder and files_beside(folder / "a.gltf"))
    return found.vertices[found.corners.reshape(-1, 3)]


def refused(data, *words, labels=None):
    with pytest.raises(ShapeError) as caught:
        read_mesh(data, "a.glb", "glb", labels)
    for word in words:
        assert word in str(caught.value)


EXPECTED = SQUARE[TWO.reshape(-1, 3)]


def test_indices_of_any_type_or_none():
    for kind in ("u1", "u2", "i4", "u4"):
        np.testing.assert_array_equal(triangles(one(corners=TWO.astype(kind)).glb()), EXPECTED)
    np.testing.assert_array_equal(triangles(one(SQUARE[TWO], None).glb()), EXPECTED)
    np.testing.assert_array_equal(triangles(one(SQUARE.astype("f8")).glb()), EXPECTED)
    (made := one()).content["accessors"][0]["componentType"] = 5127
    refused(made.glb(), "5127 for a componentType")
    refused(one(corners=np.array([0, 1, 4], "u2")).glb(), "range")
    refused(one(corners=TWO[:5]).glb(), "5 corners")
    refused(one(corners=TWO.astype("f4")).glb(), "whole numbers")


@pytest.mark.parametrize(
    ("kind", "scale"), [("i1", 127), ("u1", 255), ("i2", 32767), ("u2", 65535)]
)
def test_normalised_integers_are_divided_and_others_are_not(kind, scale):
    made = one()
    made.content["meshes"][0]["primitives"][0]["attributes"]["POSITION"] = made.array(
        np.round(SQUARE / 2 * scale).astype(kind), normalized=True
    )
    np.testing.assert_allclose(triangles(made.glb()), EXPECTED / 2, atol=1 / scale)
    made.content["extensionsRequired"] = ["KHR_mesh_quantization"]
    made.content["accessors"][-1]["normalized"] = False
    np.testing.assert_allclose(triangles(made.glb()), np.round(EXPECTED / 2 * scale))


def test_interleaved_vertices():
    made = one()
    rows = np.concatenate([SQUARE, np.full_like(SQUARE, 9)], axis=1)
    view = made.view(rows, byteStride=24)
    made.content["accessors"][0] |= {"bufferView": view, "byteOffset": 0}
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED)
    made.content["accessors"][0]["byteOffset"] = 12
    refused(made.glb(), "degenerate")
    made.content["accessors"][0]["byteOffset"] = 24
    refused(made.glb(), "shorter")


@pytest.mark.parametrize("based", [True, False])
def test_sparse_accessors(based):
    made = one(SQUARE * (1 if based else 0))
    moved = np.array([(5, 6, 7), (1, 2, 3)], "f4")
    sparse = {"count": 2, "values": {"bufferView": made.view(moved)}}
    sparse["indices"] = {"bufferView": made.view(np.array([1, 3], "u1")), "componentType": 5121}
    made.content["accessors"][0]["sparse"] = sparse
    if not based:
        del made.content["accessors"][0]["bufferView"]
    expected = SQUARE * (1 if based else 0)
    expected[[1, 3]] = moved
    np.testing.assert_array_equal(triangles(made.glb()), expected[TWO.reshape(-1, 3)])


def test_strips_and_fans():
    strip = np.array([0, 1, 3, 2], "u2")
    expected = SQUARE[[(0, 1, 3), (3, 1, 2)]]
    np.testing.assert_array_equal(triangles(one(corners=strip, mode=5).glb()), expected)
    np.testing.assert_array_equal(triangles(one(SQUARE[strip], None, mode=5).glb()), expected)
    restart = np.array([0, 1, 3, 65535, 3, 1, 2], "u2")
    np.testing.assert_array_equal(triangles(one(corners=restart, mode=5).glb()), expected)
    fan = one(corners=np.arange(4, dtype="u1"), mode=6)
    np.testing.assert_array_equal(triangles(fan.glb()), SQUARE[[(0, 1, 2), (0, 2, 3)]])


@pytest.mark.parametrize("mode", range(4))
def test_lines_and_points_are_passed_over_and_refused_alone(mode):
    made = one()
    made.content["meshes"][0]["primitives"].append(made.primitive(mode=mode))
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED)
    refused(one(mode=mode).glb(), "no faces", "points, lines")
    refused(one(mode=7).glb(), "mode 7")


def test_nodes_turn_scale_move_and_mirror_what_is_below_them():
    half = np.sqrt(0.5)
    made = Made(
        scene=1,
        scenes=[{"nodes": [4]}, {"nodes": [0, 3]}],
        nodes=[
            {"children": [1, 2], "rotation": [0, 0, half, half], "translation": [0, 0, 5]},
            {"mesh": 0, "scale": [2, 1, 1]},
            {"mesh": 0, "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 7, 0, 0, 1]},
            {"mesh": 0, "scale": [-1, 1, 1]},
            {"mesh": 0},
        ],
    )
    made.mesh(made.primitive())
    x, y, z = np.moveaxis(EXPECTED, 2, 0)
    expected = np.concatenate(
        [
            np.stack([-y, 2 * x, z + 5], axis=2),
            np.stack([-y, x + 7, z + 5], axis=2),
            np.stack([-x, y, z], axis=2)[:, ::-1],
        ]
    )
    np.testing.assert_allclose(triangles(made.glb()), expected, atol=1e-12)


def test_a_rotation_of_zeros_turns_nothing():
    np.testing.assert_array_equal(triangles(one(node={"rotation": [0] * 4}).glb()), EXPECTED)


def test_json_may_be_padded_with_zeros():
    np.testing.assert_array_equal(triangles(one().glb(padding=b"\0")), EXPECTED)


def test_files_without_scenes_or_nodes():
    made = Made(
        nodes=[{"mesh": 0, "translation": [1, 0, 0]}, {"children": [0], "scale": [2, 2, 2]}]
    )
    made.mesh(made.primitive())
    np.testing.assert_allclose(triangles(made.glb()), 2 * (EXPECTED + np.eye(3)[0]))
    del made.content["nodes"]
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED)
    made.content |= {"scenes": [{}], "nodes": [{"mesh": 0}]}
    refused(made.glb(), "no faces")


@pytest.mark.parametrize("children", [[[1], [0]], [[0]], [[2], [2], []], [[9]], [[-1]]])
def test_nodes_that_make_no_tree_are_refused(children):
    nodes = [{"mesh": 0, "children": below} for below in children]
    made = Made(nodes=nodes, scenes=[{"nodes": [0, 1][: len(nodes)]}])
    made.mesh(made.primitive())
    refused(made.glb(), "nodes[")


def test_a_node_that_is_not_visible_is_left_out_with_its_children():
    hidden = {"extensions": {"KHR_node_visibility": {"visible": False}}}
    made = Made(nodes=[{"mesh": 0}, {"children": [2]} | hidden, {"mesh": 0}])
    made.mesh(made.primitive())
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED)


def test_morph_targets_are_applied_by_their_weights():
    made = one()
    shift = made.array(np.full_like(SQUARE, 3))
    made.content["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": shift}, {"NORMAL": shift}]
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED)
    made.content["meshes"][0]["weights"] = [0.5, 1]
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED + 1.5)
    made.content["nodes"][0]["weights"] = [2, 0]
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED + 6)


def test_skins_move_vertices_with_their_joints_and_not_with_their_node():
    made = Made(
        nodes=[
            {"mesh": 0, "skin": 0, "translation": [100, 0, 0]},
            {"translation": [0, 1, 0], "children": [2]},
            {"scale": [3, 3, 3]},
        ]
    )
    primitive = made.primitive()
    joints = np.array([(0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0), (0, 9, 0, 0)], "u1")
    weights = np.array([(0.5, 0.5, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0)], "f4")
    names = {"JOINTS_0": made.array(joints), "WEIGHTS_0": made.array(weights)}
    primitive["attributes"] |= names
    made.mesh(primitive)
    bind = np.eye(4, dtype="f4")[None].repeat(2, 0)
    bind[1, :3, 3] = [1, 0, 0]
    made.content["skins"] = [{"joints": [1, 2]}]
    made.content["skins"][0]["inverseBindMatrices"] = made.array(
        bind.transpose(0, 2, 1).reshape(2, 16)
    )
    first, second = (np.eye(4), np.diag([3.0, 3, 3, 1]) @ bind[1])
    second[:3, 3] += [0, 1, 0]
    first[:3, 3] += [0, 1, 0]
    points = np.concatenate([SQUARE, np.ones((4, 1))], axis=1)
    mixed = [(first + second) / 2, second, first, first]
    expected = np.array([(m @ p)[:3] for m, p in zip(mixed, points, strict=True)])
    np.testing.assert_allclose(triangles(made.glb()), expected[TWO.reshape(-1, 3)])
    made.content["skins"][0]["joints"] = [1]
    refused(made.glb(), "a joint that its skin does not have")
    made.content["skins"][0]["joints"] = [7, 8]
    refused(made.glb(), "outside the scene")
    del primitive["attributes"]["JOINTS_0"]
    refused(made.glb(), "no joints")


@pytest.mark.parametrize(
    "name",
    [
        "KHR_draco_mesh_compression",
        "EXT_meshopt_compression",
        "KHR_meshopt_compression",
        "ACME_new",
    ],
)
def test_extensions_that_are_needed_and_not_read_are_refused_by_name(name):
    made = one()
    made.content["extensionsRequired"] = ["KHR_materials_unlit", name]
    refused(made.glb(), name)


def test_extensions_of_looks_are_welcome():
    made = one()
    made.content["extensionsRequired"] = [
        *("KHR_materials_unlit", "KHR_texture_transform", "KHR_lights_punctual", "KHR_xmp_json_ld"),
        *("EXT_texture_webp", "KHR_texture_basisu", "KHR_mesh_quantization", "MSFT_texture_dds"),
    ]
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED)


def test_geometry_that_is_packed_elsewhere_is_refused_by_the_name_of_its_extension():
    draco = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    made = one(extensions=draco)
    np.testing.assert_array_equal(triangles(made.glb()), EXPECTED)  # what stands beside it is whole
    made.content["meshes"][0]["primitives"].append(
        {"attributes": {"POSITION": 2}, "extensions": draco}
    )
    made.content["accessors"].append({"componentType": 5126, "type": "VEC3", "count": 3})
    refused(made.glb(), "KHR_draco_mesh_compression")
    made = one()
    packed = {"EXT_meshopt_compression": {"buffer": 0}}
    made.content["bufferViews"][0] |= {"buffer": 1, "extensions": packed}
    content = made.content | {"buffers": [{"byteLength": 8}, {"byteLength": 48}]}
    refused(json.dumps(content).encode(), "EXT_meshopt_compression")


def test_many_from_one_are_refused_by_name():
    many = {"extensions": {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 0}}}}
    refused(one(node=many).glb(), "EXT_mesh_gpu_instancing")


def test_uris(tmp_path):
    made = one()
    made.view(np.arange(256, dtype="u1"))  # bytes of every kind
    plain = base64.b64encode(made.bytes).decode()
    for uri in (
        "data:application/octet-stream;base64," + plain,
        "data:;base64," + quote(plain),
        "DATA:;BASE64," + plain.rstrip("="),
        "data:;base64," + plain.replace("+", "-").replace("/", "_"),
        "data:;base64," + plain[:40] + "\n" + plain[40:],
        "data:application/gltf-buffer," + quote(made.bytes),
    ):
        np.testing.assert_array_equal(triangles(made.text(uri)), EXPECTED)
    (tmp_path / "sub").mkdir()
    for name in ("a.bin", "my data.bin", "sub/größe.bin", "50%25.bin"):
        (tmp_path / name).write_bytes(made.bytes)
        for uri in (quote(name), name, "./" + quote(name), "sub/../" + quote(name)):
            np.testing.assert_array_equal(triangles(made.text(uri), tmp_path), EXPECTED)


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("gone%20.bin", "missing: there is no file gone .bin"),
        ("../a.bin", "not in its folder"),
        ("sub/../../a.bin", "not in its folder"),
        ("..%2Fa.bin", "not in its folder"),
        ("..\\\\a.bin", "not in its folder"),
        ("/etc/hostname", "not in its folder"),
        ("C:\\\\a.bin", "not in its folder"),
        ("http://localhost/a.bin", "not in its folder"),
        ("file:///a.bin", "not in its folder"),
        ("data:;base64,A", "base64"),
        ("data:;base64," + "AAAA" * 20 + "*AAA" * 20, "base64"),
        ("", "missing"),
    ],
)
def test_buffers_out_of_reach(tmp_path, uri, word):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.bin").write_bytes(one().bytes)
    (tmp_path / "in" / "a.gltf").write_bytes(one().text(uri))
    with pytest.raises(ShapeError, match=word):
        read_mesh(tmp_path / "in" / "a.gltf", "a", "gltf")


def test_labels_follow_the_primitives_of_one_mesh_and_are_refused_for_several():
    made = one()
    made.content["meshes"][0]["primitives"].append(made.primitive(SQUARE + 5))
    labels = np.array([3, 1, 2, 0], dtype=np.int16)
    assert read_mesh(made.glb(), "a", "glb", labels).parts.tolist() == [3, 1, 2, 0]
    made.content["nodes"].append({"mesh": 0})
    refused(made.glb(), "part labels for a file of 2 meshes", labels=labels.repeat(2))


def test_what_is_no_gltf_of_version_2():
    refused(b"text", "not a GLB")
    refused(b'{"asset": ', "JSON is damaged")
    refused(b'{"asset": {"version": "1.0"}}', "glTF 1.0")
    refused(b"{}", "without a version")
    data = one().glb()
    refused(data[:4] + b"\1" + data[5:], "version 1")
    refused(data[:-4], "truncated")
    del (made := one()).content["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
    refused(made.glb(), "no positions")


def test_a_small_file_of_many_instances_is_refused_before_it_is_built():
    corners = np.zeros(3 * 30_000, "u1")
    made = Made(nodes=[{"mesh": 0}] * 2000)
    made.mesh(made.primitive(corners=corners))
    refused(made.glb(), "triangles are more than")


@st.composite
def scenes(draw):
    """A tree of nodes with meshes, all at random."""
    scene = trimesh.Scene()
    names = ["world"]
    numbers = st.floats(-3, 3).map(lambda value: round(value, 3))
    for index in range(draw(st.integers(1, 5))):
        random = np.random.default_rng(draw(st.integers(0, 99)))
        mesh = trimesh.Trimesh(
            random.normal(size=(6, 3)), random.integers(0, 6, (4, 3)), process=False
        )
        turn = trimesh.transformations.random_rotation_matrix(random.random(3))
        turn[:3, :3] *= draw(st.sampled_from([1, 0.5, -1]))
        turn[:3, 3] = [draw(numbers) for _ in range(3)]
        parent = draw(st.sampled_from(names))
        names.append(f"node{index}")
        scene.add_geometry(mesh, node_name=names[-1], parent_node_name=parent, transform=turn)
    return scene


@settings(deadline=None, max_examples=40)
@given(scenes())
def test_agrees_with_trimesh(scene):
    theirs = scene.to_mesh()
    theirs = theirs.vertices[theirs.faces]
    ours = triangles(scene.export(file_type="glb"))
    assert len(ours) == len(theirs)
    # Only the order of the triangles differs: each of ours is one of theirs, turned alike.
    for measure in (_centres, _normals):
        apart = np.abs(measure(ours)[:, None] - measure(theirs)[None]).max(axis=2)
        assert apart.min(axis=0).max() < 1e-4
        assert apart.min(axis=1).max() < 1e-4


def _centres(corners):
    return corners.mean(axis=1)


def _normals(corners):
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), st.booleans(), st.sampled_from(["u1", "u2", "u4"]))
def test_agrees_with_pygltflib(seed, embedded, kind):
    random = np.random.default_rng(seed)
    made = one(random.normal(size=(9, 3)).astype("f4"), random.integers(0, 9, 12).astype(kind))
    file = pygltflib.GLTF2.load_from_bytes(made.glb())
    if embedded:
        file.convert_buffers(pygltflib.BufferFormat.DATAURI)
        data = file.to_json().encode()
    else:
        data = b"".join(file.save_to_bytes())
    primitive, blob = file.meshes[0].primitives[0], made.bytes
    arrays = []
    for index, dtype in ((primitive.attributes.POSITION, "<f4"), (primitive.indices, kind)):
        accessor = file.accessors[index]
        view = file.bufferViews[accessor.bufferView]
        arrays.append(
            np.frombuffer(blob, dtype, view.byteLength // np.dtype(dtype).itemsize, view.byteOffset)
        )
    expected = arrays[0].reshape(-1, 3)[arrays[1].reshape(-1, 3)]
    np.testing.assert_array_equal(triangles(data), expected)
