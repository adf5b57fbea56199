// swift-tools-version: 6.1
import PackageDescription

// The fuzzers: the sources of the package above (by symbolic link), compiled again with coverage counters and sanitizers.
// A package of its own, so that nobody who builds or depends on Dyad sees these flags. `scripts/fuzz` builds and runs it.
let swift: [SwiftSetting] = [.unsafeFlags(["-sanitize=address,fuzzer", "-enable-testing"])]
let c: [CSetting] = [
    .unsafeFlags([
        "-fsanitize=address,undefined,fuzzer-no-link", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g",
    ])
]

func instrumented(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, cSettings: c, swiftSettings: swift)
}

let package = Package(
    name: "dyad-fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [.package(url: "https://github.com/jpsim/Yams", from: "6.2.0")],
    targets: [
        instrumented("CDyadKernels"),
        instrumented("DyadFormats"),
        instrumented("DyadGraph", ["DyadFormats"]),
        instrumented("DyadTokenizer", ["DyadFormats"]),
        instrumented("DyadRuntime", ["CDyadKernels", "DyadFormats", "DyadGraph", "DyadTokenizer"]),
        instrumented("DyadCheckpoint", ["DyadFormats", "DyadGraph", "DyadTokenizer"]),
        // Of the quantiser only what reads recipes: the rest needs libtorch.
        instrumented("DyadQuantization", ["DyadFormats", "Yams"]),
        instrumented("DyadTestSupport", ["DyadRuntime", "DyadGraph", "DyadFormats"]),
        // The driver's declarations.
        .target(name: "CFuzzer"),
        .executableTarget(
            name: "dyad-fuzz",
            dependencies: [
                "CFuzzer", "DyadTestSupport", "DyadQuantization", "DyadCheckpoint", "DyadRuntime", "DyadTokenizer",
                "DyadGraph",
                "DyadFormats",
            ],
            // gold cannot link what the sanitizers need.
            swiftSettings: swift, linkerSettings: [.unsafeFlags(["-sanitize=address,fuzzer", "-use-ld=lld"])]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
