import DyadFormats

extension TokenizerFiles {
    /// The named special tokens that the tokenizer's class in transformers has where no file names others.
    func defaults(isByteLevel: Bool) throws(DyadError) -> [(name: String, content: String)] {
        let family = model?.value["model_type"]?.string
        let registered = ["qwen2": "Qwen2Tokenizer", "qwen3": "Qwen2Tokenizer", "gemma": "GemmaTokenizer"]
        // Of these families transformers does not believe the class that a file names.
        let fixed = ["qwen2": "Qwen2Tokenizer", "mistral": "", "stablelm": ""]
        var name = configuration?.value["tokenizer_class"]?.string ?? model?.value["tokenizer_class"]?.string
        if name?.hasSuffix("Fast") == true { name?.removeLast(4) }
        name = family.flatMap { fixed[$0] } ?? name ?? family.flatMap { registered[$0] }
        switch name {
        case "Qwen2Tokenizer", "Qwen3_5Tokenizer":
            return ["unk_token", "eos_token", "pad_token"].map { ($0, "<|endoftext|>") }
        case "GemmaTokenizer":
            return [
                ("bos_token", "<bos>"), ("eos_token", "<eos>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"),
                ("mask_token", "<mask>"),
            ]
        case "LlamaTokenizer" where !isByteLevel, "Phi3Tokenizer" where !isByteLevel:
            return [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")]
        case "GPT2Tokenizer", "CodeGenTokenizer", "WhisperTokenizer":
            return ["bos_token", "eos_token", "unk_token"].map { ($0, "<|endoftext|>") }
        case "GPTNeoXTokenizer":
            return ["bos_token", "eos_token", "unk_token"].map { ($0, "<|endoftext|>") } + [
                ("pad_token", "<|padding|>")
            ]
        case "CohereTokenizer":
            return [
                ("bos_token", "<BOS_TOKEN>"), ("eos_token", "<|END_OF_TURN_TOKEN|>"), ("unk_token", "<UNK>"),
                ("sep_token", "<SEP>"), ("pad_token", "<PAD>"), ("cls_token", "<CLS>"), ("mask_token", "<MASK_TOKEN>"),
            ]
        case let name? where Self.foreign.contains(name):
            throw DyadError(
                .unsupported, file: configuration?.file ?? model?.file, subject: "tokenizer_class",
                found: "\"\(name)\"",
                expected:
                    "a tokenizer of a decoder model: transformers' class of this name brings tokens and steps of its own",
                remedy: "Write PreTrainedTokenizerFast there if tokenizer.json says everything.")
        default: return []
        }
    }

    /// Classes of transformers 5.24 that make a pipeline and named tokens of their own, whatever tokenizer.json has; without
    /// "Tokenizer". A name that transformers does not know changes nothing.
    private static let foreign: Set<String> = Set(
        """
        Albert Bart Barthez Bartpho Bert BertJapanese Bertweet BigBird BioGpt Blenderbot BlenderbotSmall ByT5 CLIP
        CTRL Camembert Canine Clvp CodeLlama Cpm CpmAnt DPRQuestionEncoder Deberta DebertaV2 Dia Esm Esmc FNet FSMT
        Flaubert Funnel GPTNeoXJapanese Herbert LED Lasr LayoutLMv2 LayoutLMv3 LayoutXLM Luke Lxmert MBart MBart50
        MPNet MarkupLM Mgpstr MobileBert Mvp MyT5 Nllb Nougat OpenAIGPT PLBart Pegasus Perceiver Phobert ProphetNet
        Rag Reformer RemBert RoCBert RoFormer Roberta SeamlessM4T Splinter T5 Tapas Udop VideoPrism Vits Wav2Vec2CTC
        Wav2Vec2PhonemeCTC XGLM XLM XLMRoberta XLNet
        """.split(whereSeparator: \.isWhitespace).map { $0 + "Tokenizer" })
}
