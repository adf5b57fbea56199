import DyadCheckpoint
import DyadFormats
import Testing
