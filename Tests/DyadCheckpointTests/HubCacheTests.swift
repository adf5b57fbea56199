import DyadCheckpoint
import DyadFormats
import Foundation
import Testing

@Suite(.serialized) struct HubCacheTests {
    @Test func aDownloadedModelIsFoundByItsIdentifier() throws {
        try withFolder { folder in
            setenv("HF_HUB_CACHE", folder, 1)
            defer { unsetenv("HF_HUB_CACHE") }
            let model = folder + "/models--org--tiny"
            let snapshot = model + "/snapshots/0123abcd"
            for path in [model + "/refs", snapshot] {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
            try AtomicFile.write(model + "/refs/main", text: "0123abcd\n")
            try AtomicFile.write(snapshot + "/config.json", text: LayoutTests.config.text())
            try SafetensorsWriter.write(
                snapshot + "/model.safetensors", LayoutTests.tensors(Array(LayoutTests.shapes.indices)))
            #expect(try Checkpoint.open("org/tiny").path == snapshot)
            try AtomicFile.write(model + "/refs/main", text: "../../../etc")
            #expect(throws: DyadError.self) { try Checkpoint.open("org/tiny") }
        }
    }

    @Test(arguments: [
        "no-such-org/no-such-model", "/no/such/path", "no/such/model", "../no-such-model", "~/no-such-model", "",
    ])
    func whatIsNeitherPathNorDownloadedIsMissing(name: String) {
        let error = #expect(throws: DyadError.self) { try Checkpoint.open(name) }
        #expect(error?.reason == .missing && error?.file == name)
        if name.hasPrefix("no-such-org") { #expect(error?.remedy.contains("download \(name)") == true) }
    }
}
