import DyadFormats

extension Tensor {
    /// The matrix product over the last two dimensions; the others broadcast.
    public func matmul(_ other: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::matmul", .tensor(self), .tensor(other))
    }
    /// x · Wᵀ + b for x `[..., in]`, W `[out, in]` and b `[out]`.
    public func linear(_ weight: Tensor, bias: Tensor? = nil) throws(DyadError) -> Tensor {
        try Self.call("aten::linear", .tensor(self), .tensor(weight), .optional(bias))
    }
    /// Sums of products in Einstein's notation (`"bhqd,bhkd->bhqk"`).
    public static func einsum(_ equation: StaticString, _ operands: Tensor...) throws(DyadError) -> Tensor {
        try call("aten::einsum", .string(equation), .tensors(operands))
    }
    /// The outer product of two vectors.
    public func outer(_ other: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::outer", .tensor(self), .tensor(other))
    }
    /// The lower triangle, zeros above.
    public func tril(_ diagonal: Int = 0) throws(DyadError) -> Tensor {
        try Self.call("aten::tril", .tensor(self), .int(diagonal))
    }
    /// The upper triangle, zeros below.
    public func triu(_ diagonal: Int = 0) throws(DyadError) -> Tensor {
        try Self.call("aten::triu", .tensor(self), .int(diagonal))
    }
    /// The diagonal matrix of a vector, or the diagonal of a matrix (a copy).
    public func diag() throws(DyadError) -> Tensor { try Self.call("aten::diag", .tensor(self)) }
    /// The diagonal of a matrix as a view: changing it changes the matrix.
    public func diagonal() throws(DyadError) -> Tensor { try Self.call("aten::diagonal", .tensor(self)) }

    /// L (or with `upper` U = Lᵀ) of the factorisation L·Lᵀ of a positive definite matrix; throws for another one.
    public func cholesky(upper: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::linalg_cholesky", .tensor(self), .bool(upper))
    }
    /// The inverse of the matrix whose Cholesky factor this is.
    public func choleskyInverse(upper: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::cholesky_inverse", .tensor(self), .bool(upper))
    }
    /// X with A·X = `right`, this being the Cholesky factor of A.
    public func choleskySolve(_ right: Tensor, upper: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::cholesky_solve", .tensor(right), .tensor(self), .bool(upper))
    }
    /// X with T·X = `right` (or X·T with `left` false), T being this triangular matrix.
    public func solveTriangular(_ right: Tensor, upper: Bool, left: Bool = true) throws(DyadError) -> Tensor {
        try Self.call("aten::linalg_solve_triangular", .tensor(self), .tensor(right), .bool(upper), .bool(left))
    }
    /// Q with orthonormal columns and upper triangular R, Q·R being this matrix.
    public func qr() throws(DyadError) -> (q: Tensor, r: Tensor) {
        let results = try Self.callMany("aten::linalg_qr", results: 2, .tensor(self))
        return (results[0], results[1])
    }
    /// Eigenvalues (ascending) and eigenvectors (columns) of a symmetric matrix.
    public func eigh() throws(DyadError) -> (values: Tensor, vectors: Tensor) {
        let results = try Self.callMany("aten::linalg_eigh", results: 2, .tensor(self))
        return (results[0], results[1])
    }
    /// U, singular values (descending) and Vᵀ, in reduced form.
    public func svd() throws(DyadError) -> (u: Tensor, values: Tensor, vt: Tensor) {
        let results = try Self.callMany("aten::linalg_svd", results: 3, .tensor(self), .bool(false))
        return (results[0], results[1], results[2])
    }
    /// The inverse matrix; throws when there is none.
    public func inverse() throws(DyadError) -> Tensor { try Self.call("aten::linalg_inv", .tensor(self)) }
    /// X with A·X = `right`, A being this matrix; throws when it is singular.
    public func solve(_ right: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::linalg_solve", .tensor(self), .tensor(right))
    }
    /// The matrix exponential, orthogonal for a skew-symmetric matrix.
    public func matrixExp() throws(DyadError) -> Tensor { try Self.call("aten::linalg_matrix_exp", .tensor(self)) }
    /// The determinant.
    public func determinant() throws(DyadError) -> Tensor { try Self.call("aten::linalg_det", .tensor(self)) }
}
