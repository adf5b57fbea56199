#!/usr/bin/env python3
"""Writes Sources/DyadTokenizer/Pattern/UnicodeTables+*.swift: the Unicode properties and case foldings of Oniguruma as
Hugging Face's tokenizers carries it, and the sets of the crates by which it normalises and finds punctuation. It asks
tokenizers itself, one split pattern a property over all scalars; only the age of scalars comes from Perl.

Run from the root of the repository: .deps/fixtures/bin/python scripts/unicode/tables.py
Made with tokenizers 0.23.3 (Unicode 16). Takes two minutes.
"""
import pathlib
import subprocess

from tokenizers import Regex, normalizers, pre_tokenizers

root = pathlib.Path(__file__).resolve().parents[2]
folder = root / "Sources/DyadTokenizer/Pattern"
# Planes 4 to 13 are unassigned and 15 and 16 private: asking for all of them would take five times as long.
SCALARS = [c for c in range(0x33480) if not 0xD800 <= c < 0xE000] + list(range(0xE0000, 0xE0210))
TEXT = "".join(map(chr, SCALARS))
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
PROPERTIES = """Other_Alphabetic Other_Lowercase Other_Uppercase Other_Math White_Space Emoji Emoji_Presentation
Emoji_Modifier Emoji_Modifier_Base Emoji_Component Extended_Pictographic Ideographic Unified_Ideograph Hex_Digit Dash
Hyphen Quotation_Mark Terminal_Punctuation Sentence_Terminal Soft_Dotted Diacritic Extender Join_Control Radical
Regional_Indicator Variation_Selector""".split()
# Scripts with their four-letter codes.
SCRIPTS = """Adlm,Adlam Aghb,Caucasian_Albanian Ahom,Ahom Arab,Arabic Armi,Imperial_Aramaic Armn,Armenian Avst,Avestan
Bali,Balinese Bamu,Bamum Bass,Bassa_Vah Batk,Batak Beng,Bengali Bhks,Bhaiksuki Bopo,Bopomofo Brah,Brahmi
Brai,Braille Bugi,Buginese Buhd,Buhid Cakm,Chakma Cans,Canadian_Aboriginal Cari,Carian Cham,Cham Cher,Cherokee
Chrs,Chorasmian Copt,Coptic Cpmn,Cypro_Minoan Cprt,Cypriot Cyrl,Cyrillic Deva,Devanagari Diak,Dives_Akuru Dogr,Dogra
Dsrt,Deseret Dupl,Duployan Egyp,Egyptian_Hieroglyphs Elba,Elbasan Elym,Elymaic Ethi,Ethiopic Geor,Georgian
Glag,Glagolitic Gong,Gunjala_Gondi Gonm,Masaram_Gondi Goth,Gothic Gran,Grantha Grek,Greek Gujr,Gujarati
Guru,Gurmukhi Hang,Hangul Hani,Han Hano,Hanunoo Hatr,Hatran Hebr,Hebrew Hira,Hiragana Hluw,Anatolian_Hieroglyphs
Hmng,Pahawh_Hmong Hmnp,Nyiakeng_Puachue_Hmong Hung,Old_Hungarian Ital,Old_Italic Java,Javanese Kali,Kayah_Li
Kana,Katakana Khar,Kharoshthi Khmr,Khmer Khoj,Khojki Kits,Khitan_Small_Script Knda,Kannada Kthi,Kaithi Lana,Tai_Tham
Laoo,Lao Latn,Latin Lepc,Lepcha Limb,Limbu Lina,Linear_A Linb,Linear_B Lisu,Lisu Lyci,Lycian Lydi,Lydian
Mahj,Mahajani Maka,Makasar Mand,Mandaic Mani,Manichaean Marc,Marchen Medf,Medefaidrin Mend,Mende_Kikakui
Merc,Meroitic_Cursive Mero,Meroitic_Hieroglyphs Mlym,Malayalam Modi,Modi Mong,Mongolian Mroo,Mro Mtei,Meetei_Mayek
Mult,Multani Mymr,Myanmar Nand,Nandinagari Narb,Old_North_Arabian Nbat,Nabataean Newa,Newa Nkoo,Nko Nshu,Nushu
Ogam,Ogham Olck,Ol_Chiki Orkh,Old_Turkic Orya,Oriya Osge,Osage Osma,Osmanya Ougr,Old_Uyghur Palm,Palmyrene
Pauc,Pau_Cin_Hau Perm,Old_Permic Phag,Phags_Pa Phli,Inscriptional_Pahlavi Phlp,Psalter_Pahlavi Phnx,Phoenician
Plrd,Miao Prti,Inscriptional_Parthian Rjng,Rejang Rohg,Hanifi_Rohingya Runr,Runic Samr,Samaritan
Sarb,Old_South_Arabian Saur,Saurashtra Sgnw,SignWriting Shaw,Shavian Shrd,Sharada Sidd,Siddham Sind,Khudawadi
Sinh,Sinhala Sogd,Sogdian Sogo,Old_Sogdian Sora,Sora_Sompeng Soyo,Soyombo Sund,Sundanese Sylo,Syloti_Nagri
Syrc,Syriac Tagb,Tagbanwa Takr,Takri Tale,Tai_Le Talu,New_Tai_Lue Taml,Tamil Tang,Tangut Tavt,Tai_Viet Telu,Telugu
Tfng,Tifinagh Tglg,Tagalog Thaa,Thaana Thai,Thai Tibt,Tibetan Tirh,Tirhuta Tnsa,Tangsa Toto,Toto Ugar,Ugaritic
Vaii,Vai Vith,Vithkuqi Wara,Warang_Citi Wcho,Wancho Xpeo,Old_Persian Xsux,Cuneiform Yezi,Yezidi Yiii,Yi
Zanb,Zanabazar_Square Zinh,Inherited Zyyy,Common Kawi,Kawi Nagm,Nag_Mundari Gara,Garay Gukh,Gurung_Khema Krai,Kirat_Rai
Onao,Ol_Onal Sunu,Sunuwar Todr,Todhri Tutg,Tulu_Tigalari"""


def key(name):
    return name.lower().replace("_", "")


def spans(numbers):
    result = []
    for c in numbers:
        if result and result[-1][1] == c - 1:
            result[-1][1] = c
        else:
            result.append([c, c])
    return result


def matched(pattern, text=TEXT, scalars=SCALARS):
    splitter = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return [c for _, (a, b) in splitter.pre_tokenize_str(text) for c in scalars[a:b]]


def members(name):
    ranges = spans(matched(r"\p{%s}+" % name))
    if name == "Co":
        ranges += [[0xF0000, 0xFFFFD], [0x100000, 0x10FFFD]]
    return ranges


def base36(n):
    digits = ""
    while n or not digits:
        digits, n = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36] + digits, n // 36
    return digits


def encoded(ranges):
    words, position = [], 0
    for low, high in ranges:
        words += [base36(low - position), base36(high + 1 - low)]
        position = high + 1
    return words


def wrapped(words, indent):
    lines, line = [], ""
    for word in words:
        if len(line) + 1 + len(word) > 112 - len(indent):
            lines.append(line)
            line = ""
        line += (" " if line else "") + word
    return "\n".join(indent + line for line in lines + [line])


def literal(words, indent):
    return '"""\n' + wrapped(words, indent) + "\n" + indent + '"""'


def write(name, what, body):
    head = f"// Written by scripts/unicode/tables.py.\n\nextension UnicodeTables {{\n    /// {what}\n"
    path = folder / f"UnicodeTables+{name}.swift"
    path.write_text(head + body + "}\n")
    print(path.name, path.stat().st_size)


def dictionary(name, sets):
    rows = "".join(f'        "{k}": {literal(encoded(v), "            ")},\n' for k, v in sets.items())
    return f"    static let {name}: [String: String] = [\n{rows}    ]\n"


write("Categories", "The general categories except `Cn` and `Cs`.", dictionary("categories", {key(c): members(c) for c in CATEGORIES}))
write("Properties", "Other properties.", dictionary("properties", {key(p): members(p) for p in PROPERTIES}))
pairs = [row.split(",") for row in SCRIPTS.split()]
codes = [f"{key(code)}={key(name)}" for code, name in pairs] + ["qaai=inherited", "qaac=coptic"]
write(
    "Scripts", "The scripts by their long names.",
    dictionary("scripts", {key(name): members(name) for _, name in pairs})
    + "\n    /// The four-letter codes of the scripts.\n    static let scriptCodes = " + literal(codes, "        ") + "\n",
)

ages = "for (0..0xd7ff,0xe000..0x10ffff) { print \"$_\\n\" if chr($_) =~ /\\p{Present_In: 9.0}/ }"
present = [int(line) for line in subprocess.run(["perl", "-e", ages], capture_output=True, text=True, check=True).stdout.split()]
strip = normalizers.StripAccents()
cut = pre_tokenizers.Punctuation()
write(
    "Crates", "Sets of the crates of tokenizers: what its normal forms know, its marks, its punctuation.",
    dictionary("crates", {
        "unicode9": spans(present),
        "marks": spans([c for c in SCALARS if not strip.normalize_str(chr(c))]),
        "punctuation": spans([c for c in SCALARS if len(cut.pre_tokenize_str("a" + chr(c))) == 2]),
    }),
)

pairs = []
for c in SCALARS:
    parts = normalizers.NFD().normalize_str(chr(c))
    if len(parts) > 1 and not 0xAC00 <= c <= 0xD7A3 and normalizers.NFC().normalize_str(chr(c)) == chr(c):
        first = normalizers.NFC().normalize_str(parts[:-1])
        assert len(first) == 1
        pairs.append(",".join(base36(ord(x)) for x in first + parts[-1]) + "=" + base36(c))
write(
    "Composition", "Two scalars and the one that they compose, to the base of 36; without Hangul.",
    "    static let compositions = " + literal(pairs, "        ") + "\n",
)

# Case: every scalar that some mapping changes, each looked for in all of them.
cased = [c for c in SCALARS if any(f(chr(c)) != chr(c) for f in (str.lower, str.upper, str.title, str.casefold))]
# Letters that are newer than Python's tables.
cased += [c for c in [*range(0x10D50, 0x10D90), *range(0xA7C0, 0xA7E0), 0x1C89, 0x1C8A, *range(0x10570, 0x105C0), *range(0x16EA0, 0x16EE0), 0x264, 0x19B]]
cased = sorted(set(cased))
separated = "|".join(map(chr, cased))
orbits, sequences = set(), {}
for c in cased:
    splitter = pre_tokenizers.Split(Regex("(?i)\\x{%x}" % c), "removed", invert=True)
    orbit = tuple(sorted({ord(piece) for piece, _ in splitter.pre_tokenize_str(separated) if len(piece) == 1}))
    if len(orbit) > 1:
        orbits.add(orbit)
    folded = chr(c).casefold()
    if len(folded) > 1:
        assert [piece for piece, _ in splitter.pre_tokenize_str(folded)] == [folded]
        sequences.setdefault(folded, []).append(c)
orbit_words = [",".join(base36(c) for c in orbit) for orbit in sorted(orbits)]
sequence_words = [",".join(base36(ord(c)) for c in folded) + "=" + ",".join(map(base36, scalars)) for folded, scalars in sorted(sequences.items())]
write(
    "Folding", "The scalars that differ only in case, to the base of 36.",
    "    static let foldingOrbits = " + literal(orbit_words, "        ")
    + "\n\n    /// Sequences that fold together, and the single scalars that fold to them.\n    static let foldingSequences = "
    + literal(sequence_words, "        ") + "\n",
)
