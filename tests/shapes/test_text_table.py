"""Text tables of points: what each form of them means, or why it is refused."""

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.errors import FormatError
from pointmcd.shapes.text_table import read_table

POINTS = np.array([[-2.102, 2.677, 0.582], [-5.255, 2.083, -1.075], [-0.534, 1.336, -0.3]])


def table(text, separator=",", before="", after="", points=POINTS):
    """Write POINTS with `before` and `after` in each row, under a header."""
    rows = (separator.join(map(str, point)) for point in points.tolist())
    return text + "".join(f"{before.format(n)}{r}{after}\n" for n, r in enumerate(rows))


#: Each holds POINTS.
RIGHT = {
    "plain": table("", " "),
    "tabs": table("", "\t"),
    "blanks that align": "  -2.102   2.677  0.582\n  -5.255   2.083 -1.075\n -0.534 1.336 -0.3\n",
    "tabs that align": table("", "\t\t"),
    "indented by a tab": table("", "\t", "\t"),
    "comma and blank": table("", ", "),
    "ended by a comma": table("x,y,z\n", ",", "", ","),
    "bars": table("x|y|z\n", "|"),
    "id first": table("id,x,y,z\n", ",", "{},"),
    "a name first": table("name,x,y,z\n", ",", "lamp {},"),
    "a name with a comma": table("name,x,y,z\n", ",", '"lamp, {}",'),
    "pandas index": table(",x,y,z\n", ",", "{},"),
    "pandas index, semicolons": table(";x;y;z\n", ";", "{};"),
    "pandas numbers": table("0,1,2\n"),
    "pandas index and numbers": table(",0,1,2\n", ",", "{},"),
    "pandas read back": table("Unnamed: 0,x,y,z\n", ",", "{},"),
    "row names of R": table('"x" "y" "z"\n', " ", '"{}" '),
    "colours first": table("r;g;b;X;Y;Z\n", ";", "255;10;{};"),
    "another order": table("z,y,x\n", points=POINTS[:, ::-1]),
    "the order in a comment": table("# order: z, y, x\n", " ", points=POINTS[:, ::-1]),
    "intensity in a comment": table("//Intensity X Y Z\n", " ", "0.{} "),
    "CloudCompare": table("//X Y Z R G B\n3\n", " ", "", " 255 0 0"),
    "numpy": table("# x y z\n", ","),
    "a comment with a label": table("# columns: time x y z\n", " ", "0.{} "),
    "las2txt": table("% X, Y, Z, Intensity\n", ",", "", ",7"),
    "ParaView": table('"scalar","Points:0","Points:1","Points:2"\n', ",", "1.{},"),
    "ParaView's underlines": table("Points_0,Points_1,Points_2,Temp\n", ",", "", ",7.5"),
    "pos": table("t,pos_x,pos_y,pos_z\n", ",", "{}.5,"),
    "position beside velocity": table("vel_x,vel_y,vel_z,posX,posY,posZ\n", ",", "1.5,2.5,{}.5,"),
    "normals first": table("nx,ny,nz,x,y,z\n", ",", "1,0,0,"),
    "units": table("X [m]\tY [m]\tZ [m]\n", "\t"),
    "survey": table(
        "Point,Northing,Easting,Elevation\n", points=POINTS[:, [1, 0, 2]], before="{},"
    ),
    "quotes": table('"X";"Y";"Z"\n', ";"),
    "all in quotes": table("x,y,z\n", '","', '"', '"'),
    "decimal commas": table("", ";").replace(".", ","),
    "decimal commas, blanks": table("", " ").replace(".", ","),
    "decimal commas, tabs": table("X\tY\tZ\n", "\t").replace(".", ","),
    "decimal commas in quotes": table("x,y,z\n", '","', '"', '"').replace(".", ","),
    "Fortran": table("", " ").replace("2.677", "0.2677D+01"),
    "title": table("Scan of a small chair\n", " "),
    "title and count": table("A chair\n3\n", " "),
    "count": table("3\n", " ", "", " 0 255 0 0"),
    "comments between": table("", " ").replace("-5", "# half\n// of it\n; or so\n-5"),
    "comments behind": table("", " ", "", " # a point"),
    "Windows": table("x,y,z\n").replace("\n", "\r\n"),
    "old Mac": table("x,y,z\n").replace("\n", "\r"),
    "empty lines": table("\n\nx,y,z\n\n").replace("\n", "\n\n"),
    "more, some empty": table("x,y,z,scalar\n", ",", "", ",").replace("0.582,", "0.582,1.5"),
    "more, not numbers": table("x,y,z,class\n", ",", "", ",chair"),
    "colours and normals behind": table("", " ", "", " 255 0 0 0.0 0.6 0.8"),
    "an xyz comment": table("# xyz of a chair, in metres\n", " "),
    "a comment of as many words": table("# points of a chair\n", " ", "", " 7 8"),
    "ROS": table("%time,field.x,field.y,field.z\n", ",", "{}.5,"),
    "p before the letter": table("# t px py pz\n", " ", "{}.5 "),
    "lines of blanks": table("x,y,z\n").replace("\n", "\n \t\n"),
    "ended as DOS did": table("", " ") + "\x1a",
    "padded": table("", " ") + "\0\0",
    "shares of colours behind": table("", " ", "", " 0.5 0.25 0.125"),
    "a normal that is absent": table("", " ", "", " 0 0 0").replace("0 0 0", "0.6 0 0.8", 1),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_right(kind):
    np.testing.assert_allclose(read_table(RIGHT[kind].encode()).points, POINTS, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        table("x,y,z\n").replace("\n", "\n , ,\n"),
        table("", ";").replace("\n", "\n;;\n").replace("-2.1", ";;\n-2.1"),
        table("x\ty\tz\n", "\t").replace("\n", "\n\t\t\n"),
        table("0,1,2\n").replace("\n", "\n,,\n"),
        table("x,y,z,label\n", ",", "", ",a").replace("\n", "\n,,,\n"),
    ],
)
def test_rows_without_content_are_nan(text):
    gaps = np.insert(POINTS, [0, 1, 2, 3], np.nan, axis=0)
    np.testing.assert_allclose(read_table(text.encode()).points, gaps, atol=1e-12)


def test_features_of_rows_without_content_are_nan():
    text = table("x,y,z,r,g,b\n", ",", "", ",1,2,3").replace("\n", "\n,,,,,\n", 2)
    colours = read_table(text.encode(), features=("colours",)).features["colours"]
    np.testing.assert_array_equal(np.isnan(colours), [[n in (0, 2)] * 3 for n in range(5)])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding):
    data = table("Höhe,x,y,z\n", ",", "{},").encode(encoding)
    np.testing.assert_allclose(read_table(data).points, POINTS)


#: Each leaves a doubt, or is damaged.
REFUSED = {
    "other names": (table("a,b,c\n"), "names no x, y and z: a, b, c"),
    "latitudes": (table("lat lon alt\n", " "), "names no x, y and z"),
    "latitudes in a comment": (table("# lat lon alt\n", " "), "names no x, y and z"),
    "only normals": (table("nx,ny,nz\n"), "names no x, y and z"),
    "names of other columns": (table("id x y z\n", " ", "", " 1 2"), "does not fit rows of 5"),
    "another order, of fewer columns": (table("# z y x\n", " ", "", " 7"), "does not fit"),
    "a sentence on the order": (table("# these are z, y, x\n", " "), "does not fit"),
    "a comment in another order": (table("# z, then y and x\n", " ", "", " 7"), "does not fit"),
    "an axis twice": (table("x,y,z,x\n", ",", "", ",7"), "several columns"),
    "two positions": ("pos_x,pos_y,pos_z,coord_x,coord_y,coord_z\n1,2,3,4,5,6\n",
                      "several columns"),
    "a name first, no header": (table("", ",", "lamp{},"), "not all numbers"),
    "atoms": (table("3\nwater\n", " ", "O "), "not all numbers"),
    "OBJ": (table("", " ", "v "), "not all numbers"),
    "OFF": (table("OFF\n3 0 0\n", " "), "OFF file by its content"),
    "an index, no header": (table("", ",", "{},"), "index or label"),
    "an index of whole rows": ("0 10 20 30\n1 11 21 31\n2 12 29 32\n", "index or label"),
    "an index and a name, no header": (table("", ",", "{},", ",tree"), "index or label"),
    "shares of colours first": (table("", " ", "0.5 0.25 0.125 "), "look like colours"),
    "pixels first": (table("", " ", "0 {} "), "rows and columns of a picture"),
    "times first": (table("", " ", "160000000{}.25 "), "looks like times"),
    "even times first": (
        "".join(f"{n / 10} {n % 3} {n % 7}.5 1.5\n" for n in range(20)), "looks like times"
    ),
    "times of poses": (table("# timestamp tx ty tz\n", " ", "7.5 "), "names no x, y and z"),
    "numbers over whole numbers": ("0,1,2\n5,6,7\n8,9,9\n", "may hold names or a point"),
    "decimal commas and a label": (table("", ",", "", ",7").replace(".", ","), "decimal numbers"),
    "voxels of one batch": ("0 10 20 30\n0 11 21 31\n0 12 29 32\n", "index or label"),
    "a label, no header": (table("", " ", "7 "), "index or label"),
    "colours first, no header": (table("", " ", "255 {} 0 "), "look like colours"),
    "normals first, no header": (table("", " ", "0.6 0.0 0.8 "), "look like normals"),
    "a grid": ("ncols 4\nnrows 3\nxll 7\n" + "1.5 2.5 3.5 4.5\n" * 3, "not understood"),
    "a picture": (("1.5 " * 40 + "\n") * 30, "table of shape (30, 40)"),
    "decimal commas and commas": (table("", ",").replace(".", ","), "decimal numbers"),
    "decimal commas, comma and blank": (table("", ", ").replace(".", ","), "decimal numbers"),
    "thousands": ("1,234 2,345 3,456\n4,567 5,678 6,789\n", "thousands"),
    "points and commas": ("1.234,5;2;3\n1.234,5;2;3\n", "numbers with one separator"),
    "a comma among points": (table("", ";") + "1,5;2;3\n", "row 4, column 1: 1,5 is not a number"),
    "ragged": (table("", " ") + "1 2\n", "row 4 has 2 columns, not 3"),
    "longer": (table("x,y,z\n") + "1,2,3,4\n", "row 4 has 4 columns, not 3"),
    "an empty field": (table("x,y,z\n") + "1,,3\n", "row 4, column 2: is empty"),
    "a word": (table("x,y,z\n") + "1,NA,3\n", "row 4, column 2: NA is not a number"),
    "a count too high": (table("4\n", " "), "4 points are announced, but 3 found; truncated"),
    "a count too low": (table("2\n", " "), "2 points are announced, but 3 found"),
    "two clouds": (table("3\n", " ") + table("3\n", " "), "row 4 has 1 columns"),
    "two numbers a row": ("1 2\n3 4\n", "no line holds three numbers"),
    "prose": ("Dear reader,\nno points here.\n", "no points"),
    "nothing": ("", "no points"),
    "a header alone": ("x,y,z\n", "no points"),
    "a bare NUL": ("1 2 3\n\0\n4 5 6\n", "it is not a text file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind):
    text, words = REFUSED[kind]
    with pytest.raises(FormatError, match=re.escape(words)) as caught:
        read_table(text.encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (table("", ",", "{},"), "2,3,4"),
        (table("", " ", "v "), " 2, 3 ,4"),
        (table("a,b,c\n"), "1,2,3"),
        (table("a,b,c\n"), "A,b,c"),
        (table("id;Rechtswert;Hochwert;Hoehe\n", ";", "{};"), "rechtswert,hochwert,hoehe"),
        (table("x,y,z,u,v,w\n", ",", "9,9,9,"), "u,v,w"),
        (table("", ",", "1,5,{},").replace(";", ","), "4,5,6"),
    ],
)
def test_columns_that_are_chosen(text, columns):
    np.testing.assert_allclose(read_table(text.encode(), columns).points, POINTS)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("1,2,5", "no column 5; the columns are id, x, y, z"),
        ("0,1,2", "no column 0"),
        ("2,3", "2 columns, not 3"),
        ("x,y,h", "no column h"),
    ],
)
def test_columns_that_are_not_there(columns, words):
    with pytest.raises(FormatError, match=words):
        read_table(table("id,x,y,z\n", ",", "{},").encode(), columns)


def test_a_wide_table_is_turned():
    cloud = np.random.default_rng(0).normal(size=(40, 3))
    text = "\n".join(" ".join(map(str, row)) for row in cloud.T)
    points, note, *_ = read_table(text.encode())
    np.testing.assert_array_equal(points, cloud)
    assert note == "turned from 3 x 40"


@pytest.mark.parametrize("form", [("", " "), ("x,y,z\n", ","), ("x;y;z\n", ";")])
def test_many_rows_are_fast(form):
    header, separator = form
    rows = np.random.default_rng(0).normal(size=(100_000, 3))
    text = table(header, separator, points=rows)
    text = text.replace(".", ",") if separator == ";" else text
    start = time.process_time()
    np.testing.assert_array_equal(read_table(text.encode()).points, rows)
    assert time.process_time() - start < 3


HEADERS = ["x", "y", "z", "id", "nx", "red", "intensity", "name"]
FLOATS = st.floats(-1e6, 1e6).map(lambda v: round(v, 4)).map(lambda v: v + 0.0)


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(HEADERS),
    st.lists(st.tuples(*[FLOATS] * 8), min_size=2, max_size=20),
    st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), (" ", ".")]),
    st.booleans(),
)
def test_numpy_and_we_read_the_same(order, values, form, quoted):
    """Columns in any order, in any form that numpy can be told of."""
    separator, point = form
    names = [f'"{name}"' if quoted else name for name in order]
    lines = [separator.join(names)]
    lines += [separator.join(f"{v:.4f}".replace(".", point) for v in row) for row in values]
    found = read_table("\n".join(lines).encode()).points
    plain = [line.replace(",", ".") if point == "," else line for line in lines[1:]]
    expected = np.loadtxt(plain, delimiter=separator, ndmin=2)
    np.testing.assert_array_equal(found, expected[:, [order.index(axis) for axis in "xyz"]])


@pytest.mark.parametrize(
    "text",
    [
        "x,y,z\n0.1junk,0.2,0.3\n1,2,3\n4,5,6\n7,8,10\n",
        "x,y,z\nq,w,0.3\n1,2,3\n4,5,6\n7,8,10\n",
        "0.1junk 0.2 0.3\n1.5 2 3\n4 5 6.5\n7 8 10\n",
    ],
)
def test_a_damaged_first_row_is_no_title(text):
    with pytest.raises(FormatError, match="a line before its rows may be a damaged row: "):
        read_table(text.encode())


def test_titles_and_units_above_rows_stay_what_they_are():
    rows = "1.5,2,3\n4,5,6.5\n7,8,10\n"
    for above in ("Scan of 12 May\n", "x,y,z\n[m],[m],[m]\n", "x,y,z\nfloat32,float32,float32\n"):
        assert len(read_table((above + rows).encode()).points) == 3
