// swift-tools-version: 6.1
import PackageDescription

// The trait `Torch` (on by default) compiles and links libtorch into CDyadTorch. Everything that
// only runs models (the product DyadRuntime) is outside its reach and carries no unsafe flag.
let libtorch = Context.environment["LIBTORCH"] ?? "\(Context.packageDirectory)/.deps/libtorch"
let torchTrait: BuildSettingCondition = .when(traits: ["Torch"])

let package = Package(
    name: "dyad",
    platforms: [.macOS(.v15), .iOS(.v18)],
    products: [
        .library(name: "DyadRuntime", targets: ["DyadRuntime", "DyadTokenizer"]),
        .library(name: "DyadQuantization", targets: ["DyadQuantization", "DyadEvaluation", "DyadTargets", "DyadJobs"]),
        .executable(name: "dyad", targets: ["dyad"]),
    ],
    traits: [
        .trait(name: "Torch", description: "Link libtorch: needed to quantise and to run float models."),
        .default(enabledTraits: ["Torch"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    ],
    targets: [
        .target(name: "CDyadKernels"),
        .target(name: "DyadFormats"),
        .target(name: "DyadGraph", dependencies: ["DyadFormats"]),
        .target(name: "DyadTokenizer", dependencies: ["DyadFormats"]),
        .target(
            name: "DyadRuntime",
            dependencies: ["CDyadKernels", "DyadFormats", "DyadGraph", "DyadTokenizer"]),
        .target(
            name: "DyadExport",
            dependencies: [
                "DyadCheckpoint", "DyadGraph", "DyadFormats",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["ONNX/onnx.proto", "CoreML/coreml.proto"]),
        .target(name: "DyadCheckpoint", dependencies: ["DyadFormats", "DyadGraph", "DyadTokenizer"]),
        .target(
            name: "CDyadTorch",
            cxxSettings: [
                .define("DYAD_WITH_TORCH", torchTrait),
                .unsafeFlags(
                    [
                        "-isystem", "\(libtorch)/include",
                        "-isystem", "\(libtorch)/include/torch/csrc/api/include",
                    ], torchTrait),
            ],
            linkerSettings: [
                .unsafeFlags(
                    ["-L\(libtorch)/lib", "-Xlinker", "-rpath", "-Xlinker", "\(libtorch)/lib"],
                    torchTrait),
                // Not libtorch.so: an empty shell, which in PyPI's build for x86 pulls in all of CUDA's libraries.
                .linkedLibrary("torch_cpu", torchTrait),
                .linkedLibrary("c10", torchTrait),
            ]),
        .target(name: "DyadTensor", dependencies: ["CDyadTorch", "DyadFormats"]),
        .target(
            name: "DyadTransformer",
            dependencies: ["DyadTensor", "DyadCheckpoint", "DyadGraph", "DyadFormats"]),
        .target(
            name: "DyadQuantization",
            dependencies: [
                "DyadTransformer", "DyadTensor", "DyadCheckpoint", "DyadGraph", "DyadTokenizer",
                "DyadFormats", "Yams",
            ],
            resources: [.copy("Recipes")]),
        .target(
            name: "DyadEvaluation",
            dependencies: [
                "DyadQuantization", "DyadTransformer", "DyadTensor", "DyadRuntime", "DyadGraph",
                "DyadTokenizer", "DyadFormats",
            ]),
        .target(
            name: "DyadTargets",
            dependencies: [
                "DyadEvaluation", "DyadExport", "DyadRuntime", "DyadGraph", "DyadFormats",
            ],
            resources: [.copy("Scripts")]),
        .target(
            name: "DyadJobs",
            dependencies: [
                "DyadTargets", "DyadEvaluation", "DyadQuantization", "DyadTransformer", "DyadTensor", "DyadCheckpoint",
                "DyadRuntime", "DyadExport", "DyadGraph", "DyadTokenizer", "DyadFormats",
            ]),
        .executableTarget(
            name: "dyad",
            dependencies: [
                "DyadJobs", "DyadTargets", "DyadEvaluation", "DyadQuantization", "DyadCheckpoint",
                "DyadRuntime", "DyadExport", "DyadTokenizer", "DyadGraph", "DyadFormats",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(
            name: "DyadTestSupport", dependencies: ["DyadRuntime", "DyadGraph", "DyadFormats"],
            path: "Tests/DyadTestSupport"),
        .testTarget(name: "DyadFormatsTests", dependencies: ["DyadFormats"], exclude: ["Fixtures"]),
        .testTarget(
            name: "DyadCheckpointTests", dependencies: ["DyadCheckpoint", "DyadFormats"], exclude: ["Fixtures"]),
        .testTarget(name: "DyadTokenizerTests", dependencies: ["DyadTokenizer", "DyadFormats"], exclude: ["Fixtures"]),
        .testTarget(name: "DyadTensorTests", dependencies: ["DyadTensor", "DyadFormats"]),
        .testTarget(
            name: "DyadGraphTests", dependencies: ["DyadTestSupport", "DyadGraph", "DyadFormats"], exclude: ["Fixtures"]
        ),
        .testTarget(
            name: "DyadExportTests",
            dependencies: [
                "DyadTestSupport", "DyadExport", "DyadGraph", "DyadFormats",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]),
        .testTarget(
            name: "DyadRuntimeTests",
            dependencies: [
                "DyadTestSupport", "DyadRuntime", "CDyadKernels", "DyadGraph", "DyadTokenizer", "DyadFormats",
            ]),
        .testTarget(
            name: "DyadTransformerTests",
            dependencies: ["DyadTransformer", "DyadTensor", "DyadCheckpoint", "DyadFormats"]),
        .testTarget(
            name: "DyadEvaluationTests",
            dependencies: [
                "DyadTestSupport", "DyadJobs", "DyadTargets", "DyadEvaluation", "DyadExport", "DyadQuantization",
                "DyadTransformer", "DyadTensor",
                "DyadCheckpoint", "DyadRuntime", "CDyadKernels", "DyadGraph", "DyadTokenizer", "DyadFormats",
            ]),
        .testTarget(
            name: "DyadQuantizationTests",
            dependencies: [
                "DyadTestSupport", "DyadQuantization", "DyadTransformer", "DyadTensor", "DyadCheckpoint", "DyadGraph",
                "DyadTokenizer", "DyadFormats",
            ]),
        .testTarget(
            name: "DyadCommandTests", dependencies: ["dyad", "DyadTensor", "DyadGraph", "DyadFormats"],
            exclude: ["Fixtures"]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11,
    cxxLanguageStandard: .cxx20
)
