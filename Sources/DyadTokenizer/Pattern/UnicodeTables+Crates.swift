// Written by scripts/unicode/tables.py.

extension UnicodeTables {
    /// Sets of the crates of tokenizers: what its normal forms know, its marks, its punctuation.
    static let crates: [String: String] = [
        "unicode9": """
        0 oo 2 6 4 7 1 1 1 k 1 b1 1 12 2 7 1 13 1 2 2 3 1 1j 8 r 5 5 b t 1 6o 1 1o 2 2t e 1n 5 1a 2 f 1 s 2
        1 1t l 1 8 m 4w 1 8 2 2 2 m 1 7 1 1 3 4 2 9 2 2 2 4 8 1 4 2 1 5 2 m 5 3 1 6 4 2 2 m 1 7 1 2 1 2 1 2
        2 1 1 5 4 2 2 3 3 1 7 4 1 1 7 g b 3 1 9 1 3 1 m 1 7 1 2 1 5 2 a 1 3 1 3 2 1 f 4 2 c 7 1 7 3 1 8 2 2
        2 m 1 7 1 2 1 5 2 9 2 2 2 3 8 2 4 2 1 5 2 i a 2 1 6 3 3 1 4 3 2 1 1 1 2 3 2 3 3 3 c 4 5 3 3 1 4 2 1
        6 1 e l 5 4 1 8 1 3 1 n 1 g 3 8 1 3 1 4 7 2 1 3 5 4 2 a 8 c 1 8 1 3 1 n 1 a 1 5 2 9 1 3 1 4 7 2 7 1
        1 4 2 a 1 2 e 3 1 8 1 3 1 15 2 8 1 3 1 6 4 g 2 q 2 2 1 i 3 o 1 9 1 1 2 7 3 1 4 6 1 1 1 8 6 a 2 3 c
        1m 4 t 11 2 1 1 2 2 1 1 2 1 6 4 1 7 1 3 1 1 1 1 2 2 1 d 1 3 2 5 1 1 1 6 2 a 2 4 w 20 1 10 4 13 1 10
        1 f 1 d 11 5i 1 1 5 1 2 ah 1 4 2 7 1 1 1 4 2 15 1 4 2 x 1 4 2 7 1 1 1 4 2 f 1 1l 1 4 2 1v 2 w 3 q 6
        2e 2 6 2 il 3 2h 7 d 1 7 b n 9 k c d 1 3 1 2 c 2m 2 a 6 a 6 f 1 a 6 2g 8 17 5 1y a v 1 c 4 c 4 1 3
        16 2 5 b 18 4 q 6 b 3 1q 2 1t 1 t 2 b 6 a 6 e 2 f 1t 24 4 19 3 38 8 1o 3 f 3 1o 1j 8 8 13 1 2 6 6u 5
        7v 2 6 2 12 2 6 2 8 1 1 1 1 1 1 1 v 2 1h 1 f 1 e 2 6 1 j 2 3 1 9 1 2t 1 c 2 r 1 d 3 v h x f 3w 4 hb
        1 13 p b l 1ec 2 w 2 y 3 c 1 8 q 4 g 1b 1 1b 1 44 5 19 1 1 5 1 2 1k 7 2 e o 9 7 1 7 1 7 1 7 1 7 1 7
        1 7 1 7 1 2t 1n q 1 2h c 5y q c 4 1s 1 2e 2 2v 5 15 3 2m 1 17 5 10 c 1b 1 67 1 59y a g7q 16 wd 3 1j
        9 9o k 54 8 4v 1 8 1r 1h 4 a 6 1k 8 1y 8 c 6 u 2 2c b u 3 26 1 b 4 x 1 1j 9 e 2 a 2 2v o s a 6 2 6 2
        6 9 7 1 7 1 1i a 3i 2 a 6 8mc c n 4 1d 1l0 57y 2 2y 12 7 c 5 5 q 1 5 1 1 1 2 1 2 1 3g h a5 g 1s 2 1i
        8 1a 2 q 6 1f 1 j 1 4 4 5 1 3r 2 1 1 5a 3 6 2 6 2 6 2 3 3 7 1 7 a j 1 q 1 j 1 2 1 f 2 e y 3f 5 3 4
        19 3 2g 1 c 4 1 1b 1a 3m t 3 1d f s 4 10 c r 5 17 5 u 1 11 4 e 16 4e 2 a 6 10 4 10 4 14 8 1g b 1 40
        8n 9 m a 8 48 6 2 1 1 18 1 2 3 1 2 n 1 20 8 9 1c j 1 2 5 x 3 r 5 1 1s 1k 4 k 2 1e 1 2 5 8 1 3 1 r 4
        3 4 9 8 9 7 1s w 13 4 c 9 1i 3 t 2 r 5 q 7 4 c 7 28 21 1j 1f d 1f 7 6 9s v ap 26 4 u f 1v e p 7 a 6
        1h 1 e c 13 9 26 2 g 1 k b i 1 18 1t 7 1 1 1 4 1 f 1 b 6 1n 5 a 6 4 1 8 2 2 2 m 1 7 1 2 1 5 2 9 2 2
        2 3 2 1 6 1 5 7 2 7 3 5 3v 2i 1 1 1 1 y 20 8 a 4m 1i 2 12 y 1x b a 6 d j 1k 8 a 1i q 3 f 4 g 9s 2b c
        1 cg 1l 7b 9 1 19 1 e a t 3 w 2 m 1 e nd pm 2u 33 1 5 b 5g 24c tr 34h g7 6nt ft 7 v 1 a 4 2 2o u 2 6
        a 1y a a 1 7 1 l 5 j og 1x b 1b g h 1s 1 v 4q5 j kz 7bh 2 2da 2z 5 d 3 9 7 a 2 8 3to 6u a 13 2 5c n
        1y 56 2f 9 i 3y 2d 1 1z 1 2 2 1 2 2 2 4 1 c 1 1 1 7 1 1t 1 4 2 8 1 7 1 s 1 4 1 5 1 1 3 7 1 9g 2 84 2
        ji f 5 1 f 11s 7 1 h 2 7 1 2 1 5 1jp 5h 2 g 15 23 5 a 4 2 ww 4 1 r 1 2 1 1 2 1 1 a 1 4 1 1 1 1 6 1 4
        1 1 1 1 1 1 3 1 2 1 1 2 1 1 1 1 1 1 1 1 1 1 2 1 1 2 4 1 7 1 4 1 4 1 1 1 a 1 h 5 3 1 5 1 h 1g 2 7i 18
        4 2s c f 2 f 1 f 1 11 a d 3 v 1 1o 4 1p 1l t d 18 4 9 7 2 4u r7 d d 3 7 9 38 c 2d 17 c 4 1k 8 a 6 14
        8 u 2q f 1 8 8 1 2 c 1 c 4 f x i 1a 1 18d wyh 15 379 b 66 2 4g2 866 f2 15s 2 1eke 2 1eke 2 1eke 2
        1eke 2 1eke 2 1eke 2 1eke 2 1eke 2 1eke 2 1eke 2 1eke 2 1 1 u 2o 3k 6o 1e6m 2t4y
        """,
        "marks": """
        lc 34 7n 7 7b 19 1 1 1 2 1 2 1 1 20 b 1c l g 1 2t 7 2 6 2 2 1 4 z 1 u r 2j b 1m 9 y 4 1 9 1 3 1 5 17
        3 3c e 1 x 1i 3 1 i 1 7 a 2 t 3 1k 1 1 7 2 2 2 3 9 1 a 2 t 3 1k 1 1 5 4 2 2 3 3 1 u 2 3 1 b 3 1k 1 1
        8 1 3 1 3 k 2 t 3 1k 1 1 7 2 2 2 3 8 2 a 2 u 1 1n 5 3 3 1 4 9 1 14 4 1m 7 1 3 1 4 7 2 b 2 t 3 1k 1 1
        7 1 3 1 4 7 2 b 2 t 3 1m 7 1 3 1 4 9 1 a 2 u 2 1y 1 4 6 1 1 1 8 i 2 1p 1 2 7 c 8 2q 1 2 6 1 2 b 6 22
        2 r 1 1 1 1 1 4 2 1d k 1 2 5 b 1 10 9 1 2s k n 4 4 3 1 3 2 7 3 4 d c 1 1 a 4 jj 3 qa 3 t 3 t 2 u 2
        1s w 9 1 19 3 3b 2 y 1 3a c 4 c 63 5 1l a 1 t 2 1 1c f 1t 5 1b h 12 9 c 3 u d 1k e 1c k 48 3 1 l 4 1
        4 3 3 2 5i 1i 5 5 k0 x 2da 3 3x 1 2o w fe 6 2x 2 n9w 4 1 a w 2 28 2 7k 1 3 1 4 1 n 5 2g 2 1e i q i
        1g 8 p d 18 4 1b e 10 1 1v e c 1 8 2 19 3 1e 1 1 3 2 2 5 2 1 1 15 5 5 2 6k 8 1 2 fn4 1 kh g g g r1 1
        6a 1 45 5 1ae 3 1 2 5 4 14 3 4 1 4l 2 109 3 1h f 1k 4 19 b 1x 3 10 e 1q 1 c 3 1c e 9 3 2n c 6 1 4g c
        l 4 1k 1 1 7 2 2 2 3 9 1 a 2 2 7 3 5 5c i 2x k 6j 7 2 9 r 2 2a h 2y d 2t f zn 8 1 8 2a m 1 e fg9 5
        1n 7 t6 1a g 4 f7u 2 43q 5 3 6 8 8 2 7 u 4 44 3 1iz 1j 4 1e 8 1 e 1 m 5 1 f 11s 7 1 h 2 7 1 2 1 5
        1ph 7 31 7 gzhx 6o
        """,
        "punctuation": """
        x f a 7 q 6 q 4 y 1 5 1 3 1 a 2 3 1 3 1 ji 1 8 1 cy 6 15 2 1f 1 1 1 2 1 2 1 18 2 k 2 1 2 d 1 2 2 22
        4 2u 1 17 e 6h 3 1i f v 1 79 2 a 1 an 1 lf 1 2i 1 a 2 4o f 1 1 11 4 1z 1 22 5 4 2 33 6 4r 1 h0 9 47
        1 h8 2 18 2 26 3 1z 2 4d 3 1 3 11 b 8p 2 60 2 3k 7 1 6 4s 7 4b 4 1n 5 1q 2 1s 8 b 1 n0 o 8 k 1 d 1 c
        u 2 e 2 hl 4 t 2 u5 e 27 2 v a b7 m 1r 4 w 2 l7 4 1 2 34 1 3z 1b 1 j ce 3 4 a 2 c g 1 c 1 2q 1 2i 1
        mwy 2 7h 3 2r 1 a 1 37 6 ak 4 2e 2 14 3 1 1 1d 2 1b 1 2p d g 2 3g 4 3i 2 g 2 6x 1 g2a 2 5s a m z 1 e
        1 1 4 1 1 2 45 3 1 6 1 4 a 2 3 2 q 3 1 1 r 1 1 1 1 7 be 3 ik 1 1c 1 bi 1 kn 1 5j 1 v 1 7k 9 12 1 34
        7 1u 7 2h 4 x6 7 31 2 1 4 3i 4 1c 2 27 5 3 1 d 1 1 3 2g 6 2z 1 f0 1 6y n 2x 3 6w 3 2lt 5 dtl 2 3p 1
        1t 5 8 1 g2i 1 5wn 5
        """,
    ]
}
